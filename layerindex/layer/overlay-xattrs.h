/* SPDX-License-Identifier: Apache-2.0 */
/* Reading overlayfs's marks: extended attributes of an entry held by an O_PATH descriptor. */
#pragma once

#include <stdbool.h>

/*
 * Whether this process sees trusted.* attributes at all: without CAP_SYS_ADMIN in the initial user
 * namespace the kernel says that there are none (fs/xattr.c, xattr_permission()).
 *
 * Returns: 0; -EPERM: it does not; -ENOSYS: /proc is not mounted.
 */
int overlay_xattrs_visible(bool userxattr);

/*
 * Reads those of the *wanted* attributes (enum overlay_xattr) that overlayfs would read: none after
 * whiteout or opaque was found, and redirect on a file only after metacopy.
 *
 * Returns: 0, with the attributes found in *ret; -EINVAL: a redirect that overlayfs calls invalid;
 *	-EIO: a metacopy that overlayfs calls invalid; -ESTALE: /proc is gone; or the error of
 *	reading redirect or metacopy. A failure to read the others means absence. After an error
 *	*ret_invalid says whether a mark's value is invalid: the filesystem may fail alike.
 */
int overlay_xattrs_read(int fd, unsigned wanted, bool userxattr, bool is_dir, unsigned *ret,
			bool *ret_invalid);
