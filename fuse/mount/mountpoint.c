/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/mount/mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fuse/base/messages.h"
#include "fuse/live/view-process.h"
#include "fuse/mount/fusermount.h"
#include "fuse/mount/mountinfo.h"

enum occupant { FREE, LIVE_VIEW, DEAD_VIEW };

enum { CLAIM_WAIT_MS = 1000 }; /* much longer than mounting takes */

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

int mountpoint_device(const char *path, dev_t *ret)
{
	struct statx stx;

	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &stx) < 0)
		return -errno;
	*ret = makedev(stx.stx_dev_major, stx.stx_dev_minor);
	return 0;
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

int mountpoint_detach(const char *path)
{
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		return 0;
	return errno == EPERM ? fusermount_detach(path) : -errno;
}

int mountpoint_detach_fd(int fd)
{
	char link[32], path[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
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

/*
 * What is at a place, with its descriptor, and the device of a view. Where a process serves it,
 * nothing is asked of that: it may be stopped. Returns: enum occupant, or an errno value.
 */
static int find_occupant(const char *path, int *ret_fd, dev_t *ret_device)
{
	cleanup_with(view_processes_done) struct view_processes processes = {};
	cleanup_free char *line = NULL;
	cleanup_close int fd = -EBADF;
	struct mount_entry mount;
	struct statx stx;
	int r;

	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, 0,
		  &stx) < 0)
		return -errno;
	/* Nothing is mounted there, as nearly always. */
	if (stx.stx_attributes_mask & ~stx.stx_attributes & STATX_ATTR_MOUNT_ROOT)
		return FREE;
	fd = mountpoint_open(path);
	if (fd < 0)
		return fd;
	r = mountinfo_find(fd, &mount, &line);
	if (r < 0)
		return r;
	if (r == 0 || strcmp(mount.type, VIEW_TYPE) != 0)
		return FREE;
	*ret_device = mount.device;
	r = view_processes_find(mount.device, &processes);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return processes.count > 0 || !mountpoint_is_dead(*ret_fd) ? LIVE_VIEW : DEAD_VIEW;
}

/* Returns: what is left there, enum occupant, or an errno value; a live view with its descriptor.
 */
static int remove_dead(const char *path, int *ret_fd, dev_t *ret_live)
{
	/* Dead views may be stacked. */
	for (;;) {
		cleanup_close int fd = -EBADF;
		int occupant = find_occupant(path, &fd, ret_live);
		int r;

		if (occupant != DEAD_VIEW) {
			*ret_fd = TAKE_FD(fd);
			return occupant;
		}
		r = mountpoint_detach_fd(fd);
		/* EINVAL: somebody else was faster. */
		if (r < 0 && r != -EINVAL)
			return r;
	}
}

/*
 * Waits until nobody else is about to mount on a directory. Not for ever: whoever may read it may
 * hold it. Returns: the claim's descriptor, or -EBADF.
 */
static int claim(const char *path)
{
	/* What it is shall be said by the mount that fails then. */
	cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	for (int ms = 0; fd >= 0 && ms < CLAIM_WAIT_MS; ms++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return TAKE_FD(fd);
		if (errno != EWOULDBLOCK)
			break;
		poll(NULL, 0, 1);
	}
	return -EBADF;
}

int mountpoint_claim(const char *path, int *ret_claim, dev_t *ret_live, struct view_error *error)
{
	cleanup_close int held = -EBADF, live = -EBADF;
	int occupant = remove_dead(path, &live, ret_live);

	if (occupant == FREE) {
		held = claim(path);
		/* Meanwhile another call may have done what this one is about to do. */
		if (held >= 0)
			occupant = remove_dead(path, &live, ret_live);
	}
	if (occupant < 0)
		return mountpoint_fail(path, occupant, error);
	*ret_claim = occupant == LIVE_VIEW ? TAKE_FD(live) : TAKE_FD(held);
	return occupant == LIVE_VIEW;
}

int mountpoint_mount(const char *path, const char *label, struct view_error *error)
{
	cleanup_close int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	char options[128];

	if (fd < 0)
		return view_fail(error, MSG_SYSTEM, "/dev/fuse", strerror(errno));
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=%u,group_id=%u,default_permissions,allow_other", fd,
		 getuid(), getgid());
	if (mount(label, path, VIEW_TYPE, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, options) <
	    0) {
		if (errno == EPERM)
			return fusermount_mount(path, label, error);
		if (is_resource_error(-errno))
			return view_fail(error, MSG_SYSTEM, path, strerror(errno));
		return view_fail(error, MSG_MOUNT, path, strerror(errno));
	}
	return TAKE_FD(fd);
}
