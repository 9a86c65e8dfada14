/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The place in the tree where a view appears: made ready, mounted on, and left. What the caller may
 * not do itself is done by fusermount3, where that is allowed.
 */
#pragma once

#include <sys/types.h>

#include "fuse/base/error.h"

#define VIEW_TYPE "fuse.urunc-viewfs" /* as mountinfo shows it */

/*
 * The absolute path without symlinks of what the caller named; asks nothing of what is mounted
 * there. Returns: the path, owned by the caller, or NULL with errno.
 */
char *mountpoint_path(const char *given);

/* Describes *r*, the -errno of a call on a mountpoint. Returns: < 0 with *error*. */
int mountpoint_fail(const char *path, int r, struct view_error *error);

/*
 * Mounts a new FUSE connection at *path*, read-only and closed to everything else.
 * Returns: the connection's descriptor (close-on-exec, owned by the caller), or < 0 with *error*.
 */
int mountpoint_mount(const char *path, const char *label, struct view_error *error);

/*
 * Removes the mount at the caller's *path* if its connection is dead. Allocates no memory.
 */
void mountpoint_detach_if_dead(const char *path);

/* The device of what is mounted at *path*, of which nothing is asked. Returns: 0 or -errno. */
int mountpoint_device(const char *path, dev_t *ret);

/*
 * Opens what is at *path*, absolute and without symlinks, of which nothing is asked.
 * Returns: a descriptor (O_PATH, close-on-exec, owned by the caller), or -errno.
 */
int mountpoint_open(const char *path);

/*
 * Whether the view of which *fd* is the root, or a file bound somewhere, is permanently dead. Waits
 * for its process, if there is one.
 */
bool mountpoint_is_dead(int fd);

/* Removes the topmost mount from *path*, in use or not, dead or alive. Returns: 0 or -errno. */
int mountpoint_detach(const char *path);

/* The same for exactly the mount of which *fd* is the root, wherever it stands by now. */
int mountpoint_detach_fd(int fd);
