/* SPDX-License-Identifier: Apache-2.0 */
/* Which directories may be taken for an image's tree. */
#pragma once

#include "fuse/base/error.h"

/*
 * Opens the directory at *path* if it can be what a chain unpacked to, as far as that can be seen:
 * the root of a mount that is read-only; its whole filesystem too, unless a part of that was bound
 * there; and neither this machine's root nor in the rootfs of a container, which the container
 * writes. The caller must ensure that it is the right tree.
 * Returns: a descriptor (O_PATH, owned by the caller), or < 0 with *error*.
 */
int tree_open(const char *path, struct view_error *error);
