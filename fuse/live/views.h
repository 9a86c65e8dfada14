/* SPDX-License-Identifier: Apache-2.0 */
/* The views of this machine: those that are mounted in this mount namespace, and others. */
#pragma once

#include "fuse/live/view-answer.h"
#include "fuse/live/view-process.h"
#include "fuse/mount/mount-table.h"

enum view_state {
	VIEW_ALIVE,
	VIEW_NOT_ANSWERING, /* its process is stopped, frozen or hangs */
	VIEW_DEAD,	    /* permanently */
	VIEW_UNKNOWN,	    /* it was not asked: another user's, or covered by another mount */
};

enum { VIEW_STATES = VIEW_UNKNOWN + 1 };

/* A view at a place; or one that no mount of this namespace leads to. */
struct listed_view {
	/*
	 * A line of mountinfo: a view, or a file or directory of one that was bound somewhere. Its
	 * root is what of the view stands there ("/": all of it), its source the label; its strings
	 * lie in the table. Without a mount here all strings are NULL.
	 */
	struct mount_entry entry;
	uid_t owner; /* of the mount */
	gid_t group;
	bool repeated; /* another mount of the same view is not */
	bool mounted;  /* in this namespace. If not, all but the device is what its process says */
	enum view_state state;
	struct view_answer answer; /* what it says of itself; ready is NULL: nothing; owned */
	pid_t pid;		   /* of its process; 0: not seen from here */
};

struct views {
	struct listed_view *items; /* of one place the topmost last; owned */
	size_t count, capacity;
	struct libmnt_table *table; /* that the strings of the items lie in; owned */
	bool partial;		    /* there may be more that no mount leads to */
};

enum views_scope {
	VIEWS_MOUNTED = 0,	  /* in this namespace */
	VIEWS_STRANGERS = 1 << 0, /* other users' views are asked, too, as those users */
	VIEWS_ELSEWHERE = 1 << 1, /* and those that no mount of this namespace leads to */
};

/*
 * Finds views, and asks those that are root's or the caller's, in bounded time whatever state they
 * are in. Returns: 0, with *ret* owned by the caller, or -errno.
 */
int views_read(unsigned scope, struct views *ret);

void views_done(struct views *views);
DEFINE_CLEANUP(struct views, views_done)

/* "alive" and so on. */
const char *view_state_name(enum view_state state);
