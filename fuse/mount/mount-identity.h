/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which mount it is, known without holding it: a descriptor would keep umount(8) from it. Paths and
 * devices lead to whatever is there by the time that they are used.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct mount_identity {
	uint64_t id;  /* 0: no mount */
	bool unique;  /* the id is never given again (Linux 6.8); else it is mountinfo's */
	dev_t device; /* of the filesystem */
};

/*
 * Identifies the mount that *fd* (which may be O_PATH) lies in. Asks nothing of the filesystem.
 * Returns: 0 or -errno.
 */
int mount_identify(int fd, struct mount_identity *ret);

bool mount_equals(const struct mount_identity *a, const struct mount_identity *b);

/*
 * Opens the root of a mount that stands at *path*. Takes no memory.
 * Returns: a descriptor (O_PATH, close-on-exec, owned); -ENOENT: it is not there, or covered; or
 *	-errno.
 */
int mount_open_at(const struct mount_identity *identity, const char *path);

/* The same wherever in this namespace it stands by now; *path* is where to look first. */
int mount_open(const struct mount_identity *identity, const char *path);
