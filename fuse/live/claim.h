/* SPDX-License-Identifier: Apache-2.0 */
/* Claiming a mountpoint: two calls must not mount there at once, and a dead view gives way. */
#pragma once

#include <sys/types.h>

#include "fuse/base/error.h"

/*
 * Makes sure that a view can be mounted at *path*, absolute and without symlinks, and that no
 * other caller mounts there before *ret_claim* is closed (owned by the caller; best effort, -EBADF
 * if there is no claim). A dead view that stands there is removed, a live one is in the way.
 * Returns: 0; > 0: a live view is there, with its device in *ret_live, a number that no other view
 *	gets as long as *ret_claim* is open; < 0 with *error*.
 */
int view_claim(const char *path, int *ret_claim, dev_t *ret_live, struct view_error *error);
