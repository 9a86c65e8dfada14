/* SPDX-License-Identifier: Apache-2.0 */
/* The place in the tree where a view appears: made ready, mounted on, and left. */
#pragma once

#include "fuse/error.h"

#define VIEW_TYPE "fuse.urunc-viewfs" /* as mountinfo shows it */

/*
 * The absolute path without symlinks of what the caller named; asks nothing of what is mounted
 * there. Returns: the path, owned by the caller, or NULL with errno.
 */
char *mountpoint_path(const char *given);

/*
 * Makes sure that a view can be mounted at *path*, absolute and without symlinks: a dead view that
 * stands there is removed, a live one is in the way.
 * Returns: 0, or < 0 with *error*.
 */
int mountpoint_clear(const char *path, struct view_error *error);

/* What an errno value of a mountpoint's means. Returns: < 0 with *error*. */
int mountpoint_fail(const char *path, int r, struct view_error *error);

/*
 * Mounts a new FUSE connection at *path*, read-only and closed to everything else.
 * Returns: the connection's descriptor (close-on-exec, owned by the caller), or < 0 with *error*.
 */
int mountpoint_mount(const char *path, const char *label, struct view_error *error);

/*
 * Takes the mount that the caller's *path* leads to away if nobody answers on it any more. Takes no
 * memory.
 */
void mountpoint_bury(const char *path);

/* Takes the topmost mount away from *path*, in use or not, dead or alive. Returns: 0 or -errno. */
int mountpoint_detach(const char *path);
