/* SPDX-License-Identifier: Apache-2.0 */
/* A call for what is there already: made twice, or twice at once, it succeeds twice. */
#pragma once

#include <sys/types.h>

#include "fuse/base/error.h"
#include "fuse/cli/options.h"

/*
 * Asks the live view whose root *live* is (O_PATH), mounted at *path*, whether it is the one that
 * the caller wants: with the same *fingerprint* (view_fingerprint()), and with all that *options*
 * insist on. Waits a bounded time for what a view that was just mounted does not know yet. Only
 * root's view or the caller's own is asked.
 * Returns: 0, with its ready line, owned by the caller, and its process, 0 where that is not seen
 *	from here; -EAGAIN: the view is gone; < 0 with *error*: it is another view, or does not
 *	answer.
 */
int reuse_find(const char *path, int live, const struct options *options, const char *fingerprint,
	       char **ret_ready, pid_t *ret_pid, struct view_error *error);

/*
 * Asks the view of a mount with *device*, whose root *live* is, for its process now: the one that
 * stands by, if one does. Returns: a pid; 0: it does not answer, or its process is not seen.
 */
pid_t reuse_process(int live, dev_t device);
