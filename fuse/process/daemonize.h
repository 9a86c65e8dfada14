/* SPDX-License-Identifier: Apache-2.0 */
/* Leaving what a background process must not hold of its caller. */
#pragma once

#include <stdbool.h>

/* Leaves the working directory, and makes stdin /dev/null. Returns: 0 or -errno. */
int daemonize_detach(void);

/* Makes stdout, and stderr too unless *keep_stderr*, /dev/null, as stdin is. */
void daemonize_silence(bool keep_stderr);
