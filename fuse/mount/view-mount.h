/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view's mount: made first, attached when it can be used. Between the two no path leads to it,
 * and it goes away with its descriptor. What the caller may not do itself is done by fusermount3,
 * where that is allowed, and that attaches it at once.
 */
#pragma once

#include <stdbool.h>

#include "fuse/base/error.h"
#include "fuse/mount/mount-identity.h"
#include "layerindex/cleanup.h"

struct view_mount {
	int connection; /* of FUSE; owned, -EBADF: none */
	int root;	/* its root, O_PATH; owned, -EBADF: none */
	bool detached;	/* is never attached: another process gets its root */
	bool attached;	/* by fusermount3, which cannot make one that is nowhere */
	struct mount_identity identity;
};

#define VIEW_MOUNT_INIT ((struct view_mount){.connection = -EBADF, .root = -EBADF})

/*
 * Makes a new FUSE connection and a mount of it, read-only and closed to everything else. *path* is
 * for messages. *ret* must be VIEW_MOUNT_INIT.
 * Returns: 0; -EPERM: only fusermount3 may; or < 0 with *error*; view_mount_done() in all cases.
 */
int view_mount_make(const char *path, const char *label, struct view_mount *ret,
		    struct view_error *error);

/* The same by fusermount3, which attaches it at *path*, absolute and without symlinks. */
int view_mount_by_fusermount(const char *path, const char *label, struct view_mount *ret,
			     struct view_error *error);

/*
 * Attaches it to the directory *at*, which was opened at *path*, and checks that *path* leads to it
 * then, or through it to a mount of a slower call; else it is removed again.
 * Returns: 0; -EAGAIN: something else was mounted there before; or < 0 with *error*.
 */
int view_mount_attach(const struct view_mount *mount, const char *path, int at,
		      struct view_error *error);

/* Closes its descriptors; it ends if it is attached nowhere. */
void view_mount_done(struct view_mount *mount);
DEFINE_CLEANUP(struct view_mount, view_mount_done)

/*
 * Removes a view's mount, in use or not, dead or alive, and no other one, wherever in this
 * namespace it stands by now; *path* is the first place to look. A mount that is covered stays.
 * Returns: 0; -ENOENT: it is not there, or covered; or -errno.
 */
int view_mount_detach(const struct mount_identity *identity, const char *path);
