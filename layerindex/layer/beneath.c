/* SPDX-License-Identifier: Apache-2.0 */
/* The only place where a name from an image meets the host's kernel. */
#include "layerindex/layer/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "layerindex/cleanup.h"
#include "layerindex/layerindex.h"

static int openat2_beneath(int dir, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
			   RESOLVE_NO_XDEV,
	};
	int fd;

	/* EAGAIN: a rename or mount elsewhere on the host raced with the walk. */
	do
		fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return fd < 0 ? -errno : fd;
}

/* One component without openat2(2): O_NOFOLLOW keeps it here, statx(2) tells of a mount on it. */
static int openat_beneath(int dir, const char *name)
{
	cleanup_close int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct statx stx;

	if (fd < 0)
		return -errno;
	if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_TYPE, &stx) < 0)
		return -errno;
	if (!(stx.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT))
		return -ENOSYS;
	if (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT)
		return -EXDEV;
	return TAKE_FD(fd);
}

/*
 * How much of *path* one call may take: all of it, or with openat2(2) as many whole components as
 * LI_PATH_MAX allows, or a single one.
 */
static size_t chunk_length(const char *path, bool single)
{
	size_t length = strlen(path);

	if (single)
		return strcspn(path, "/");
	if (length <= LI_PATH_MAX)
		return length;
	for (length = LI_PATH_MAX; length > 0 && path[length] != '/'; length--)
		;
	return length;
}

static int open_chunk(int dir, const char *path, size_t length, bool no_openat2)
{
	char chunk[LI_PATH_MAX + 1];

	if (length == 0 || length > LI_PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(chunk, path, length);
	chunk[length] = '\0';
	return no_openat2 ? openat_beneath(dir, chunk) : openat2_beneath(dir, chunk);
}

int open_beneath(int dir, const char *path, bool *no_openat2)
{
	cleanup_close int at = -EBADF;

	if (!*path) {
		at = fcntl(dir, F_DUPFD_CLOEXEC, 3);
		return at < 0 ? -errno : TAKE_FD(at);
	}
	while (*path) {
		size_t length = chunk_length(path, *no_openat2);
		int fd = open_chunk(at < 0 ? dir : at, path, length, *no_openat2);

		/* ENOSYS: before Linux 5.6; EPERM: a seccomp filter that does not know it. */
		if ((fd == -ENOSYS || fd == -EPERM) && !*no_openat2) {
			*no_openat2 = true;
			continue;
		}
		if (fd < 0)
			return fd;
		close_keep_errno(at);
		at = fd;
		path += length;
		path += *path == '/';
	}
	return TAKE_FD(at);
}
