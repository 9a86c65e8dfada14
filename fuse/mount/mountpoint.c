/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/mount/mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fuse/base/messages.h"
#include "fuse/mount/fusermount.h"
#include "layerindex/cleanup.h"
#include "layerindex/descriptor.h"

char *mountpoint_path(const char *given)
{
	cleanup_free char *bare = strdup(given);

	if (!bare)
		return NULL;
	/* With a slash at the end realpath(3) would ask what is mounted there, dead or not. */
	for (size_t n = strlen(bare); n > 1 && bare[n - 1] == '/'; n--)
		bare[n - 1] = '\0';
	return realpath(bare, NULL);
}

int mountpoint_fail(const char *path, int r, struct view_error *error)
{
	if (is_resource_error(r))
		return view_fail(error, MSG_SYSTEM, path, strerror(-r));
	return view_fail(error, MSG_MOUNTPOINT, path, strerror(-r));
}

int mountpoint_open(const char *path)
{
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

bool mountpoint_is_dead(int fd)
{
	struct statfs st;

	/* statfs(2) is never answered from a cache. */
	return fstatfs(fd, &st) < 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

int mountpoint_detach_fd(int fd)
{
	char link[DESCRIPTOR_PATH], path[PATH_MAX];
	ssize_t n;

	descriptor_path(fd, link);
	if (umount2(link, MNT_DETACH) == 0)
		return 0;
	if (errno != EPERM)
		return -errno;
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	return fusermount_detach(path);
}

void mountpoint_detach_if_dead(const char *path)
{
	cleanup_close int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	/* By the descriptor: that very mount, however its path was written. */
	if (fd >= 0 && mountpoint_is_dead(fd))
		mountpoint_detach_fd(fd);
}
