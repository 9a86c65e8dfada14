/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/mount/view-mount.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/mount/fusermount.h"
#include "fuse/mount/mount-api.h"
#include "fuse/mount/mountpoint.h"

enum {
	COVERS_MAX = 64,     /* mounts on a view's, of calls that were slower */
	UNCOVERED_MS = 1000, /* for those calls to remove them */
};

/* What mountinfo shows as the source. Returns: 0 or -errno. */
static int set_label(int context, const char *label)
{
	char cut[MOUNT_VALUE_MAX + 1];

	if (strlen(label) <= MOUNT_VALUE_MAX)
		return mount_option(context, "source", label);
	snprintf(cut, sizeof(cut), "%.*s...", MOUNT_VALUE_MAX - 3, label);
	log_warn("SOURCE is longer than %d bytes: mountinfo shows its beginning", MOUNT_VALUE_MAX);
	return mount_option(context, "source", cut);
}

/* Makes the filesystem. Returns: the root of a mount of it, or -errno. */
static int make_detached(int connection, const char *label)
{
	cleanup_close int context = mount_context("fuse");
	char fd[16], uid[16], gid[16];
	const struct {
		const char *name, *value;
	} options[] = {
		{"ro", NULL},
		{"subtype", "urunc-viewfs"},
		{"fd", fd},
		{"rootmode", "40000"},
		{"user_id", uid},
		{"group_id", gid},
		{"default_permissions", NULL},
		{"allow_other", NULL},
	};
	int r = context;

	snprintf(fd, sizeof(fd), "%d", connection);
	snprintf(uid, sizeof(uid), "%u", getuid());
	snprintf(gid, sizeof(gid), "%u", getgid());
	if (r >= 0)
		r = set_label(context, label);
	for (size_t i = 0; r >= 0 && i < sizeof(options) / sizeof(*options); i++)
		r = mount_option(context, options[i].name, options[i].value);
	return r < 0 ? r : mount_make(context, true);
}

static int fail(const char *path, int r, struct view_error *error)
{
	if (is_resource_error(r))
		return view_fail(error, MSG_SYSTEM, path, strerror(-r));
	return view_fail(error, MSG_MOUNT, path, strerror(-r));
}

int view_mount_make(const char *path, const char *label, struct view_mount *ret,
		    struct view_error *error)
{
	int r;

	/* Not by open(2), for which musl makes two system calls. */
	ret->connection = openat(AT_FDCWD, "/dev/fuse", O_RDWR | O_CLOEXEC);
	if (ret->connection < 0)
		return view_fail(error, MSG_SYSTEM, "/dev/fuse", strerror(errno));
	ret->root = make_detached(ret->connection, label);
	if (ret->root == -EPERM) {
		view_mount_done(ret);
		return -EPERM;
	}
	r = ret->root < 0 ? ret->root : mount_identify(ret->root, &ret->identity);
	return r < 0 ? fail(path, r, error) : 0;
}

int view_mount_by_fusermount(const char *path, const char *label, struct view_mount *ret,
			     struct view_error *error)
{
	int r;

	ret->connection = fusermount_mount(path, label, error);
	if (ret->connection < 0)
		return -ECANCELED;
	ret->attached = true;
	/* What *path* leads to now only the caller could have changed. */
	ret->root = mountpoint_open(path);
	r = ret->root < 0 ? ret->root : mount_identify(ret->root, &ret->identity);
	return r < 0 ? fail(path, r, error) : 0;
}

/* Whether it stands on the very mount that *at* lies in. Before Linux 6.8 none can tell. */
static bool stands_on(const struct view_mount *mount, int at)
{
	struct mount_identity below;
	uint64_t parent;

	if (!mount->identity.unique || mount_identify(at, &below) < 0)
		return true;
	return mount_parent(mount->identity.id, &parent) < 0 || parent == below.id;
}

/*
 * Whether *path* leads to the mount, or through it to what was mounted on it since: the mount of
 * another call, say, which that removes again. Returns: 0; -ENOENT: it does not; or -errno.
 */
static int check_reached(const struct view_mount *mount, const char *path)
{
	cleanup_close int fd = mountpoint_open(path);
	struct mount_identity found;
	int r = fd < 0 ? fd : mount_identify(fd, &found);

	if (r < 0)
		return r;
	if (mount_equals(&found, &mount->identity))
		return 0;
	for (int i = 0; found.unique && i < COVERS_MAX; i++) {
		if (mount_parent(found.id, &found.id) < 0)
			break;
		if (found.id == mount->identity.id)
			return 0;
	}
	return -ENOENT;
}

/* Removes the mount again, as soon as the calls that mounted on it have removed theirs. */
static void remove_attached(const struct view_mount *mount, const char *path)
{
	for (int ms = 0; ms < UNCOVERED_MS; ms++) {
		uint64_t parent;

		if (view_mount_detach(&mount->identity, path) != -ENOENT)
			break;
		/* Is it covered, or gone? */
		if (!mount->identity.unique || mount_parent(mount->identity.id, &parent) < 0)
			break;
		poll(NULL, 0, 1);
	}
}

int view_mount_attach(const struct view_mount *mount, const char *path, int at,
		      struct view_error *error)
{
	bool first;
	int r;

	if (mount->attached)
		return 0;
	r = mount_move(mount->root, at);
	if (r < 0)
		return view_fail(error, MSG_MOUNT, path, strerror(-r));
	first = stands_on(mount, at);
	r = first ? check_reached(mount, path) : -EAGAIN;
	if (r == 0)
		return 0;
	remove_attached(mount, path);
	if (!first)
		return -EAGAIN;
	if (is_resource_error(r))
		return view_fail(error, MSG_SYSTEM, path, strerror(-r));
	return view_fail(error, MSG_MOUNTPOINT_CHANGED, path);
}

void view_mount_done(struct view_mount *mount)
{
	mount->connection = close_keep_errno(mount->connection);
	mount->root = close_keep_errno(mount->root);
}

int view_mount_detach(const struct mount_identity *identity, const char *path)
{
	cleanup_close int fd = mount_open(identity, path);

	return fd < 0 ? fd : mountpoint_detach_fd(fd);
}
