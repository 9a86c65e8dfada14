/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounting and unmounting by fusermount3(1), the set-user-ID program of libfuse's that does both
 * for users, where the host has it and allows it.
 */
#pragma once

#include "fuse/base/error.h"

/*
 * Has a new FUSE connection mounted at *path*, like mountpoint_mount(); for other users too only
 * where /etc/fuse.conf permits it.
 * Returns: the connection's descriptor (close-on-exec, owned by the caller), or < 0 with *error*.
 */
int fusermount_mount(const char *path, const char *label, struct view_error *error);

/*
 * Has the mount at *path* removed, in use or not, dead or alive. Allocates no memory: the caller's
 * may be in any state. Returns: 0 or -errno.
 */
int fusermount_detach(const char *path);
