/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/mount/mount-api.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux 6.8; not in the headers of Debian 12. One number on every machine that views run on. */
enum { STATMOUNT = 457, STATMOUNT_BASIC = 1 << 1 };

/* struct mnt_id_req, its first version. */
struct statmount_request {
	uint32_t size, spare;
	uint64_t id, mask;
};

/* The head of struct statmount, which the kernel cuts off where the caller's room ends. */
struct statmount_basic {
	uint32_t size, options;
	uint64_t mask;
	uint32_t device_major, device_minor;
	uint64_t magic;
	uint32_t super_flags, type;
	uint64_t id, parent_id;
	uint32_t old_id, old_parent_id;
	uint64_t attributes, propagation, peer_group, master, propagate_from;
	uint32_t root, point;
	uint64_t rest[50];
};

static int or_errno(long r)
{
	return r < 0 ? -errno : (int)r;
}

int mount_context(const char *type)
{
	return or_errno(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC));
}

int mount_option(int context, const char *name, const char *value)
{
	int command = value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

	return or_errno(syscall(SYS_fsconfig, context, command, name, value, 0));
}

int mount_make(int context, bool closed)
{
	static const unsigned flags =
		MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

	if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	return or_errno(syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, closed ? flags : 0));
}

int mount_copy(int at)
{
	return or_errno(syscall(SYS_open_tree, at, "",
				OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
}

int mount_move(int mount, int at)
{
	return or_errno(syscall(SYS_move_mount, mount, "", at, "",
				MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

int mount_parent(uint64_t id, uint64_t *ret)
{
	const struct statmount_request request = {
		.size = sizeof(request), .id = id, .mask = STATMOUNT_BASIC};
	struct statmount_basic answer;

	if (syscall(STATMOUNT, &request, &answer, sizeof(answer), 0) < 0)
		return -errno;
	*ret = answer.parent_id;
	return 0;
}
