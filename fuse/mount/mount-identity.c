/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/mount/mount-identity.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "fuse/mount/mountinfo.h"
#include "layerindex/cleanup.h"

enum { MNT_ID_UNIQUE = 0x4000 }; /* STATX_MNT_ID_UNIQUE of Linux 6.8 */

int mount_identify(int fd, struct mount_identity *ret)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID | MNT_ID_UNIQUE, &stx) <
	    0)
		return -errno;
	if (!(stx.stx_mask & (STATX_MNT_ID | MNT_ID_UNIQUE)))
		return -ENOSYS;
	*ret = (struct mount_identity){
		.id = stx.stx_mnt_id,
		.unique = stx.stx_mask & MNT_ID_UNIQUE,
		.device = makedev(stx.stx_dev_major, stx.stx_dev_minor),
	};
	return 0;
}

bool mount_equals(const struct mount_identity *a, const struct mount_identity *b)
{
	return a->id == b->id && a->unique == b->unique && a->device == b->device;
}

int mount_open_at(const struct mount_identity *identity, const char *path)
{
	cleanup_close int fd = openat(AT_FDCWD, path, O_PATH | O_CLOEXEC);
	struct mount_identity found = {};
	int r = fd < 0 ? -errno : mount_identify(fd, &found);

	if (r < 0)
		return r;
	return mount_equals(&found, identity) ? TAKE_FD(fd) : -ENOENT;
}

int mount_open(const struct mount_identity *identity, const char *path)
{
	cleanup_with(mountinfo_close) struct mountinfo mountinfo = {};
	struct mount_entry mount;
	int fd = mount_open_at(identity, path);

	if (fd >= 0)
		return fd;
	fd = mountinfo_open(&mountinfo);
	if (fd < 0)
		return fd;
	while (mountinfo_next(&mountinfo, &mount) > 0) {
		if (mount.device != identity->device)
			continue;
		fd = mount_open_at(identity, mount.mountpoint);
		if (fd >= 0)
			return fd;
	}
	return -ENOENT;
}
