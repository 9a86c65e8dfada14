/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The place in the tree where a view appears. What the caller may not do itself is done by
 * fusermount3, where that is allowed.
 */
#pragma once

#include <stdbool.h>

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
 * Removes the mount at the caller's *path* if its connection is dead. Allocates no memory.
 */
void mountpoint_detach_if_dead(const char *path);

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

/*
 * Removes the mount of which *fd* is the root, in use or not, dead or alive. Where something covers
 * it, umount(2) removes that instead: *fd* must just have been opened at a path, which leads to the
 * topmost mount. Returns: 0 or -errno.
 */
int mountpoint_detach_fd(int fd);
