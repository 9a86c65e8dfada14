/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/mount/fusectl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fuse/base/text.h"
#include "fuse/mount/mount-api.h"
#include "layerindex/cleanup.h"

enum { FUSECTL_MAGIC = 0x65735543 }; /* not in <linux/magic.h> */

/* A mount of fusectl that is nowhere. Returns: a descriptor or -errno. */
static int mount_fusectl(void)
{
	cleanup_close int context = mount_context("fusectl");

	return context < 0 ? context : mount_make(context, false);
}

/* Where the host has it, or where it has none, one of the caller's own. */
static int open_fusectl(void)
{
	cleanup_close int fd = open("/sys/fs/fuse/connections", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == FUSECTL_MAGIC)
		return TAKE_FD(fd);
	return mount_fusectl();
}

/*
 * The same, opened once: a mount of the caller's own has a directory for each connection of the
 * host made anew. It stays open to the process's end. Returns: a descriptor (borrowed) or -errno.
 */
static int fusectl_directory(void)
{
	static int fd = -EBADF;

	if (fd < 0)
		fd = open_fusectl();
	return fd;
}

/* Opens a file of the connection of *fd*. Returns: a descriptor or -errno. */
static int open_file(int fd, const char *name, int flags)
{
	struct statx stx;
	char path[64];
	int fusectl, r;

	/* Without a bit in the mask FUSE itself answers, to any user, and sends no request. */
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &stx) < 0)
		return -errno;
	/* The devices of filesystems without a disk have major 0, and fusectl shows the minor. */
	if (stx.stx_dev_major != 0)
		return -ENOENT;
	fusectl = fusectl_directory();
	if (fusectl < 0)
		return fusectl;
	snprintf(path, sizeof(path), "%u/%s", stx.stx_dev_minor, name);
	r = openat(fusectl, path, flags | O_CLOEXEC);
	return r < 0 ? -errno : r;
}

int fusectl_abort(int fd)
{
	cleanup_close int file = open_file(fd, "abort", O_WRONLY);

	if (file < 0)
		return file;
	return write(file, "1", 1) < 0 ? -errno : 0;
}

int fusectl_waiting(int fd, uint64_t *ret)
{
	cleanup_close int file = open_file(fd, "waiting", O_RDONLY);
	char text[32];
	ssize_t n;

	if (file < 0)
		return file;
	n = read(file, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return parse_uint(text, 10, UINT64_MAX, ret);
}
