/* SPDX-License-Identifier: Apache-2.0 */
/* A call for what is there already: made twice, or twice at once, it succeeds twice. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "fuse/base/error.h"

/*
 * Whether the live view on *device*, mounted at *path*, is the one that is asked for: of the same
 * *id*, where NULL is the same as NULL, and the same *fingerprint*. One whose maker has not told yet
 * what it is is waited for, in bounded time.
 * Returns: 0, with its ready line, owned by the caller, and its process; < 0 with *error*: it is
 *	another one, or says nothing.
 */
int reuse_find(const char *path, dev_t device, const char *id, uint64_t fingerprint,
	       char **ret_ready, pid_t *ret_pid, struct view_error *error);
