/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounting by descriptors: fsopen(2) and its kin, and statmount(2). Not every C library has them,
 * and <linux/mount.h> cannot be included beside <sys/mount.h> of glibc 2.36.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { MOUNT_VALUE_MAX = 255 }; /* bytes of an option's value: the kernel rejects longer ones */

/* Begins a new filesystem of *type*. Returns: its context, close-on-exec, owned, or -errno. */
int mount_context(const char *type);

/* Sets an option of it; *value* NULL: one without a value. Returns: 0 or -errno. */
int mount_option(int context, const char *name, const char *value);

/*
 * Makes the filesystem, and a mount of it that is nowhere, and that goes away with its descriptor.
 * *closed*: read-only, no devices, no programs, no set-user-ID.
 * Returns: a descriptor of its root (O_PATH, close-on-exec, owned), or -errno.
 */
int mount_make(int context, bool closed);

/*
 * Makes a copy of the mount that *at* lies in, from there on, which is nowhere, and goes away with
 * its descriptor: while it is used, the mount itself may be unmounted.
 * Returns: a descriptor of its root (O_PATH, close-on-exec, owned), or -errno.
 */
int mount_copy(int at);

/*
 * Puts the mount whose root *mount* is onto the directory *at*. What is mounted on that directory
 * is covered, also where it came after *at* was opened. Returns: 0 or -errno.
 */
int mount_move(int mount, int at);

/*
 * The unique id of the mount that another one, *id*, stands on.
 * Returns: 0; -ENOSYS: a kernel before Linux 6.8; -ENOENT: it is gone; or -errno.
 */
int mount_parent(uint64_t id, uint64_t *ret);
