/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/live/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "fuse/base/clock.h"
#include "fuse/live/ask.h"
#include "fuse/mount/mountinfo.h"
#include "fuse/mount/mountpoint.h"

enum occupant { FREE, LIVE_VIEW, DEAD_VIEW };

enum {
	CLAIM_WAIT_MS = 200, /* much longer than mounting takes */
	DEAD_MS = 500,	     /* for a view to be found dead: the kernel says so at once */
};

/* What of a file tells another one that is at the same path. */
static int look(int at, const char *path, int flags, struct statx *ret)
{
	/* With an empty mask nothing is asked of the filesystem, and everything above is told. */
	if (statx(at, path, flags | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, 0, ret) < 0)
		return -errno;
	return 0;
}

static bool is_mount_root(const struct statx *stx)
{
	return !(stx->stx_attributes_mask & ~stx->stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/*
 * Whether a view is dead. One that does not say so in time is not: its process may be stopped.
 * Returns: enum occupant, or -errno.
 */
static int ask_occupant(int fd, uid_t owner, gid_t group)
{
	struct question question = {.fd = fd, .owner = owner, .group = group};
	int r = ask_all(&question, 1, now_us() + DEAD_MS * UINT64_C(1000));
	if (r < 0)
		return r;
	free(question.answer);
	return question.result == -ENOTCONN ? DEAD_VIEW : LIVE_VIEW;
}

/* What is at the place that *place* is a descriptor of. Returns: enum occupant, or -errno. */
static int find_occupant(int place, const struct statx *stx)
{
	cleanup_free char *line = NULL;
	struct mount_entry mount;
	uid_t owner;
	gid_t group;
	int r;

	/* Nothing is mounted there, as nearly always. */
	if (!is_mount_root(stx))
		return FREE;
	r = mountinfo_find(place, &mount, &line);
	if (r < 0)
		return r;
	if (r == 0 || strcmp(mount.type, VIEW_TYPE) != 0)
		return FREE;
	r = mount_entry_owner(mount.super, &owner, &group);
	return r < 0 ? r : ask_occupant(place, owner, group);
}

static bool is_same_file(const struct statx *one, const struct statx *other)
{
	return one->stx_dev_major == other->stx_dev_major &&
	       one->stx_dev_minor == other->stx_dev_minor && one->stx_ino == other->stx_ino &&
	       one->stx_mnt_id == other->stx_mnt_id && is_mount_root(one) == is_mount_root(other);
}

/*
 * Opens the place, and removes dead views from it, which may be stacked. What was found *alive* is
 * not asked again. This is the first that is asked of the mountpoint, and mounts it where it is
 * mounted on demand.
 * Returns: what is left there, FREE or LIVE_VIEW, with its descriptor and what it was opened as;
 *	or -errno.
 */
static int open_place(const char *path, const struct statx *alive, int *ret_fd, struct statx *ret)
{
	for (;;) {
		cleanup_close int fd =
			openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		int r = fd < 0 ? -errno : look(fd, "", AT_EMPTY_PATH, ret);
		int occupant = r;

		if (r == 0)
			occupant = is_same_file(ret, alive) ? LIVE_VIEW : find_occupant(fd, ret);
		if (occupant != DEAD_VIEW) {
			*ret_fd = occupant < 0 ? -EBADF : TAKE_FD(fd);
			return occupant;
		}
		r = mountpoint_detach_fd(fd);
		/* EINVAL: another process was faster. */
		if (r < 0 && r != -EINVAL)
			return r;
	}
}

void claim_prepare(const char *path, struct claim *ret)
{
	cleanup_close int fd = -EBADF;
	int occupant = open_place(path, &ret->alive, &fd, &ret->opened);

	if (occupant == LIVE_VIEW)
		ret->alive = ret->opened;
	else if (occupant == FREE)
		ret->place = TAKE_FD(fd);
}

/*
 * Waits until no other call is about to mount on a directory: it saves the work of a mount that is
 * removed again, because another call was faster (view_mount_attach()). The wait has a limit,
 * because any user who may read the directory may lock it. Returns: the lock's descriptor, or
 * -EBADF.
 */
static int lock_place(int place)
{
	cleanup_close int fd = openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int ms = 0; fd >= 0 && ms < CLAIM_WAIT_MS; ms++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return TAKE_FD(fd);
		if (errno != EWOULDBLOCK)
			break;
		poll(NULL, 0, 1);
	}
	return -EBADF;
}

/* Whether *path* still leads to what was opened there. */
static bool is_same(const char *path, const struct statx *opened)
{
	struct statx now = {};

	return look(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &now) == 0 && is_same_file(&now, opened);
}

int view_claim(const char *path, struct claim *ret, struct view_error *error)
{
	for (;;) {
		cleanup_close int fd = TAKE_FD(ret->place);
		int occupant = FREE;

		if (fd < 0)
			occupant = open_place(path, &ret->alive, &fd, &ret->opened);
		if (occupant < 0)
			return mountpoint_fail(path, occupant, error);
		if (occupant == LIVE_VIEW) {
			ret->live = TAKE_FD(fd);
			return 1;
		}
		ret->lock = close_keep_errno(ret->lock);
		ret->lock = lock_place(fd);
		/* Meanwhile another call may have done what this one is about to do. */
		if (is_same(path, &ret->opened)) {
			ret->place = TAKE_FD(fd);
			return 0;
		}
	}
}

void claim_done(struct claim *claim)
{
	claim->place = close_keep_errno(claim->place);
	claim->lock = close_keep_errno(claim->lock);
	claim->live = close_keep_errno(claim->live);
}
