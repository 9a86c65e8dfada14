/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process of a view that an upgrade is to replace, and copies of its descriptors. All of it is
 * looked at first, and held on to; nothing is changed before target_end().
 *
 * Any process may call itself a view's. What is required of one: a view's name; its user is the
 * mount's; its program is the installed one, or one of that name that was replaced; the upgrade's
 * own PID and user namespaces; as descriptors /dev/fuse, of the connection that the view's mounts
 * have, a sealed state, files that are read, and no other. So the most that a process gains by
 * posing as a view is a successor that serves its own connection, with its own user's rights.
 */
#pragma once

#include "fuse/base/error.h"
#include "fuse/serve/session.h"
#include "fuse/serve/takeover.h"
#include "layerindex/cleanup.h"

struct upgrade_target {
	pid_t pid;    /* the server, or the process that stands by, whose child that is */
	dev_t device; /* of the view's mounts */
	bool stands_by;
	int pidfd, proc; /* owned */
	/* To its supervisor, which has to start the successor; owned; -EBADF: it has none. */
	int supervisor;
	/* Copies of its descriptors: connection, state, files; owned. */
	int fds[SESSION_FDS_MAX];
	size_t fd_count;
	struct takeover_call call;
};

#define UPGRADE_TARGET_INIT \
	((struct upgrade_target){.pidfd = -EBADF, .proc = -EBADF, .supervisor = -EBADF})

/*
 * Looks at the process *pid* that is said to serve the mounts with *device*, or to stand by;
 * *owner* is theirs. *program* is the installed one. Of *ret*, which must be UPGRADE_TARGET_INIT,
 * the call's generation is left to the caller.
 * Returns: 0; -ESRCH: it is gone, or no such one; or < 0 with *error*. target_done() in any case.
 */
int target_open(pid_t pid, dev_t device, uid_t owner, int program, struct upgrade_target *ret,
		struct view_error *error);

/*
 * Ends it, and its child, if it stands by for that; *successor* stays.
 * Returns: 0; -ETIMEDOUT: it was killed, and does not end; or -errno: it cannot be killed.
 */
int target_end(const struct upgrade_target *target, pid_t successor);

void target_done(struct upgrade_target *target);
DEFINE_CLEANUP(struct upgrade_target, target_done)
