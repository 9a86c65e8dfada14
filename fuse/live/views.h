/* SPDX-License-Identifier: Apache-2.0 */
/* The views that are mounted in this mount namespace, dead or alive. */
#pragma once

#include "fuse/live/view-process.h"
#include "fuse/mount/mount-table.h"

enum mount_state {
	MOUNT_ALIVE,
	MOUNT_STOPPED, /* its process is */
	MOUNT_DEAD,    /* permanently */
	MOUNT_UNKNOWN, /* no process of it is seen from here, and asking it takes too long */
};

/* A line of mountinfo: a view, or a file or directory of one that was bound somewhere. */
struct view_mount {
	/* Its root is what of the view stands there ("/": all of it), its source the label;
	 * its strings lie in the table. */
	struct mount_entry entry;
	enum mount_state state;
	const struct view_process
		*process; /* the process that serves it, of `processes`; NULL: none seen */
};

struct views {
	struct view_mount *items; /* of one place the topmost last; owned */
	size_t count, capacity;
	struct libmnt_table *table; /* that the strings of the items lie in; owned */
	struct view_processes processes;
};

/*
 * Finds them all, in bounded time whatever state they are in.
 * Returns: 0, with *ret* owned by the caller, or -errno.
 */
int views_read(struct views *ret);

void views_done(struct views *views);
DEFINE_CLEANUP(struct views, views_done)

/*
 * Opens what stands at a view's place, if it is that view. Waits for nothing but the way there.
 * Returns: a descriptor (O_PATH, owned by the caller); -ESTALE: it is something else by now, or
 *	covered; or why the place cannot be opened.
 */
int view_mount_open(const struct view_mount *mount);

/* "alive" and so on. */
const char *mount_state_name(enum mount_state state);
