/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fuse/mountinfo.h"
#include "fuse/sentences.h"

enum occupant { FREE, LIVE_VIEW, DEAD_VIEW };

/*
 * Whether nobody answers on the FUSE connection of *fd* any more. statfs(2) is never answered from
 * a cache; whose question is under way when the connection ends hears of an abort.
 */
static bool is_dead(int fd)
{
	struct statfs st;

	return fstatfs(fd, &st) < 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

/* Returns: enum occupant, or an errno value. */
static int find_occupant(const char *path)
{
	/* O_PATH: nothing is asked of a daemon that may be dead. */
	cleanup_close int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_free char *line = NULL;
	struct mount_entry mount;
	int r;

	if (fd < 0)
		return -errno;
	r = mountinfo_find(fd, &mount, &line);
	if (r < 0)
		return r;
	if (r == 0 || strcmp(mount.type, VIEW_TYPE) != 0)
		return FREE;
	return is_dead(fd) ? DEAD_VIEW : LIVE_VIEW;
}

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
	if (is_shortage(r))
		return view_fail(error, SAY_SYSTEM, path, strerror(-r));
	return view_fail(error, SAY_MOUNTPOINT, path, strerror(-r));
}

int mountpoint_detach(const char *path)
{
	return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
}

void mountpoint_bury(const char *path)
{
	cleanup_close int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char link[32];

	if (fd < 0 || !is_dead(fd))
		return;
	/* By the descriptor: that very mount, however its path was written. */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	umount2(link, MNT_DETACH);
}

/* Returns: what is left there, enum occupant, or an errno value. */
static int remove_dead(const char *path)
{
	int occupant;

	/* Dead views may be stacked. */
	while ((occupant = find_occupant(path)) == DEAD_VIEW) {
		int r = mountpoint_detach(path);

		if (r < 0)
			return r;
	}
	return occupant;
}

int mountpoint_clear(const char *path, struct view_error *error)
{
	int occupant = remove_dead(path);

	if (occupant < 0)
		return mountpoint_fail(path, occupant, error);
	if (occupant == LIVE_VIEW)
		return view_fail(error, SAY_LIVE_VIEW, path);
	return 0;
}

int mountpoint_mount(const char *path, const char *label, struct view_error *error)
{
	cleanup_close int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	char options[128];

	if (fd < 0)
		return view_fail(error, SAY_SYSTEM, "/dev/fuse", strerror(errno));
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=%u,group_id=%u,default_permissions,allow_other", fd,
		 getuid(), getgid());
	if (mount(label, path, VIEW_TYPE, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, options) <
	    0) {
		if (errno == EPERM)
			return view_fail(error, SAY_NO_PRIVILEGE, path, strerror(errno));
		if (is_shortage(-errno))
			return view_fail(error, SAY_SYSTEM, path, strerror(errno));
		return view_fail(error, SAY_MOUNT, path, strerror(errno));
	}
	return TAKE_FD(fd);
}
