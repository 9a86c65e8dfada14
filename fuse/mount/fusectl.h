/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's control filesystem for FUSE: what it knows of a connection, and its end. It works
 * for a connection that is stopped, frozen, or mounted in no namespace that the caller sees.
 *
 * A connection is named by the device of its filesystem, a number that the kernel gives again once
 * the filesystem is gone. So each call takes a descriptor of the filesystem, which keeps it there.
 * Nothing is asked of the filesystem.
 */
#pragma once

#include <stdint.h>

/*
 * Ends the connection of the FUSE filesystem that *fd*, which may be O_PATH, lies in: every request
 * fails from now on, and the process that serves it ends. Its mounts stay, and are dead.
 * Returns: 0, also where it had ended; -ENOENT: it is not FUSE; -EACCES, -EPERM: not the caller's,
 *	or fusectl is not mounted and the caller may not mount it; or -errno.
 */
int fusectl_abort(int fd);

/*
 * Tells how many requests to it have no answer yet.
 * Returns: as fusectl_abort(), with *ret*.
 */
int fusectl_waiting(int fd, uint64_t *ret);
