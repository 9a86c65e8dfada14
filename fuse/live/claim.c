/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/live/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "fuse/live/view-process.h"
#include "fuse/mount/mountinfo.h"
#include "fuse/mount/mountpoint.h"

enum occupant { FREE, LIVE_VIEW, DEAD_VIEW };

enum { CLAIM_WAIT_MS = 1000 }; /* much longer than mounting takes */

/*
 * What is at a place, with its descriptor, and the device of a view. Where a process serves it,
 * nothing is asked of that: it may be stopped. Returns: enum occupant, or -errno.
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

/* Returns: what is left there, enum occupant, or -errno; a live view with its descriptor.
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
		/* EINVAL: another process was faster. */
		if (r < 0 && r != -EINVAL)
			return r;
	}
}

/*
 * Waits until no other process is about to mount on a directory. The wait has a limit, because any
 * user who may read the directory may lock it. Returns: the claim's descriptor, or -EBADF.
 */
static int claim_directory(const char *path)
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

int view_claim(const char *path, int *ret_claim, dev_t *ret_live, struct view_error *error)
{
	cleanup_close int held = -EBADF, live = -EBADF;
	int occupant = remove_dead(path, &live, ret_live);

	if (occupant == FREE) {
		held = claim_directory(path);
		/* Meanwhile another call may have done what this one is about to do. */
		if (held >= 0)
			occupant = remove_dead(path, &live, ret_live);
	}
	if (occupant < 0)
		return mountpoint_fail(path, occupant, error);
	*ret_claim = occupant == LIVE_VIEW ? TAKE_FD(live) : TAKE_FD(held);
	return occupant == LIVE_VIEW;
}
