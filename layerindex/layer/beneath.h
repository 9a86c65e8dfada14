/* SPDX-License-Identifier: Apache-2.0 */
/* Reaching a name beneath a directory, and nothing else. */
#pragma once

#include <stdbool.h>

/*
 * Opens *path*, components of plain names separated by single slashes, of any length, beneath the
 * directory *dir*, as O_PATH | O_NOFOLLOW: a final symlink, device or FIFO is opened as itself,
 * without side effects; a symlink or a mount on the way is never crossed. "" is *dir* itself.
 * *no_openat2* is remembered by the caller between calls: openat2(2) is not to be had (old kernel,
 * seccomp), and the walk is done component by component.
 *
 * Returns: a descriptor (close-on-exec, owned by the caller); -EXDEV: a mount lies on the way;
 *	else what openat2(2) fails with (-ENOENT, -ENOTDIR, -ELOOP, -ENAMETOOLONG, ...).
 */
int open_beneath(int dir, const char *path, bool *no_openat2);
