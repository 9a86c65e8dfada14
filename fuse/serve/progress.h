/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a server has come, for the processes that answer for it when it is killed: in memory that
 * they share, so that to say it takes no time, and nothing is lost with the process.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "fuse/mount/mount-identity.h"

struct progress {
	struct mount_identity mount; /* of the view; known before it is attached */
	bool mounting;		     /* fusermount3 may have mounted before that was known */
	bool found;	 /* the view is another call's, and stays where this one fails */
	pid_t served_by; /* that call's server, or 0 */
	/* Absolute, without symlinks, PATH_MAX bytes; only where a supervisor needs it. */
	char mountpoint[];
};

/*
 * *in_one_memory*: the processes have all memory in common, and there is no supervisor. Returns:
 * what progress_release() takes, or NULL without memory.
 */
struct progress *progress_new(bool in_one_memory);

/* Other processes that it is shared with keep it. */
void progress_release(struct progress *progress);

/*
 * Takes the view's mount away, if there is one at *path* or wherever it was moved, after its server
 * has ended. *alone*: no other process uses this one's heap, or may have died in it.
 */
void progress_undo(const struct progress *progress, const char *path, bool alone);

/* Ends a view, whichever process serves it, by its mount. Returns: 0, or -errno. */
int progress_end_view(const struct progress *progress);
