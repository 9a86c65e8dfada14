/* SPDX-License-Identifier: Apache-2.0 */
/* Tells how far `store add` is. There is one such work in a process. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fuse/cli/fill-progress.h"

/* The work began at *start_us* (now_us()). It is told of by lines of JSON, or on a terminal. */
void store_progress_start(uint64_t start_us, bool json);

/* Is told of each step, and reports some. */
void store_progress_tell(const struct fill_progress *progress);

/* The work is done, or has failed: nothing stays on the terminal. */
void store_progress_end(void);
