/* SPDX-License-Identifier: Apache-2.0 */
/* A call for what is there already: made twice, or twice at once, it succeeds twice. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "fuse/base/error.h"

/*
 * Compares the live view on *device*, mounted at *path*, with the one that the caller asks for: it
 * must have the same *id* (NULL equals NULL) and the same *fingerprint*. Waits a bounded time for a
 * view that has no title yet.
 * Returns: 0, with its ready line, owned by the caller, and its process; < 0 with *error*: it is
 *	another view, or has no title.
 */
int reuse_find(const char *path, dev_t device, const char *id, uint64_t fingerprint,
	       char **ret_ready, pid_t *ret_pid, struct view_error *error);
