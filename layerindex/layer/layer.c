/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/layer/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/major.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "layerindex/cleanup.h"
#include "layerindex/layer/beneath.h"

/*
 * Puts a private clone of the mount that an open layer lies on, without the mounts below, in its
 * place: what overlayfs makes. By the descriptor, because something may have been mounted above
 * the path meanwhile.
 */
static int clone_root(struct layer *layer)
{
	int fd = (int)syscall(SYS_open_tree, layer->fd, "",
			      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

	if (fd < 0)
		return -errno;
	close_keep_errno(layer->fd);
	layer->fd = fd;
	return 0;
}

struct li_root root_of(const struct statx *stx)
{
	struct li_root root = {
		.device = makedev(stx->stx_dev_major, stx->stx_dev_minor),
		.inode = stx->stx_ino,
	};

	if (stx->stx_mask & STATX_BTIME)
		root.birth = (struct timespec){stx->stx_btime.tv_sec, (long)stx->stx_btime.tv_nsec};
	if (stx->stx_mask & STATX_CTIME)
		root.change =
			(struct timespec){stx->stx_ctime.tv_sec, (long)stx->stx_ctime.tv_nsec};
	return root;
}

/* A number that was given again comes with another birth, where the filesystem tells it. */
static bool is_same_directory(const struct li_root *a, const struct li_root *b)
{
	return a->device == b->device && a->inode == b->inode &&
	       a->birth.tv_sec == b->birth.tv_sec && a->birth.tv_nsec == b->birth.tv_nsec;
}

int directory_open(const char *path, bool no_magiclinks)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_NO_MAGICLINKS,
	};
	int fd;

	if (no_magiclinks) {
		fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
		if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
			return fd < 0 ? -errno : fd;
	}
	/* Not by open(2), for which musl makes two system calls. */
	fd = openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/*
 * Whether the directory *fd* is all of an EROFS filesystem that lies in a file. containerd mounts
 * those for as long as a container is active: held by a clone of the mount, the filesystem stays,
 * and containerd may unmount it. Below a device of another kind (dm-verity) more is taken down than
 * the mount, and must not stay.
 */
static bool is_packed_layer(int fd, const struct statx *stx)
{
	unsigned major = stx->stx_dev_major;
	struct statfs fs;

	return stx->stx_attributes & STATX_ATTR_MOUNT_ROOT && (major == 0 || major == LOOP_MAJOR) &&
	       fstatfs(fd, &fs) == 0 && (uint32_t)fs.f_type == EROFS_SUPER_MAGIC_V1;
}

/* Fixes which directory the layer is, or checks that it still is. Returns: 0 or -ESTALE. */
static int layer_identify(struct layer *layer, const struct statx *stx)
{
	struct li_root root = root_of(stx);

	if (layer->root.inode == 0)
		layer->root = root;
	else if (!is_same_directory(&layer->root, &root))
		return -ESTALE;
	return 0;
}

struct layer layer_of(const char *path)
{
	return (struct layer){.path = path, .fd = -EBADF};
}

int layer_open(struct layer *layer)
{
	cleanup_close int fd = -EBADF;
	struct statx stx;
	int r;

	if (layer->fd >= 0)
		return 0;
	fd = directory_open(layer->path, layer->no_magiclinks);
	if (fd < 0)
		return fd;
	if (statx(fd, "", AT_EMPTY_PATH, LAYER_ROOT_MASK, &stx) < 0)
		return -errno;
	r = layer_identify(layer, &stx);
	if (r < 0)
		return r;
	layer->fd = TAKE_FD(fd);
	/* Without privilege the mount stays busy, and all else is the same. */
	if (is_packed_layer(layer->fd, &stx))
		clone_root(layer);
	return 0;
}

int layer_give(struct layer *layer, int *fd)
{
	struct statx stx;

	if (statx(*fd, "", AT_EMPTY_PATH, LAYER_ROOT_MASK, &stx) < 0)
		return -errno;
	if (!S_ISDIR(stx.stx_mode))
		return -ENOTDIR;
	layer_identify(layer, &stx);
	layer->fd = TAKE_FD(*fd);
	layer->given = true;
	return 0;
}

void layer_close(struct layer *layer)
{
	if (!layer->given)
		layer->fd = close_keep_errno(layer->fd);
}

void layer_done(struct layer *layer)
{
	layer->given = false;
	layer_close(layer);
}

int layer_open_path(struct layer *layer, const char *path, bool *no_openat2)
{
	int fd = open_beneath(layer->fd, path, no_openat2);
	int r;

	if (fd != -EXDEV)
		return fd;
	r = clone_root(layer);
	/* Not allowed, not known, or not to be cloned, as a mount that is gone: refused alike. */
	if (r < 0)
		return r == -EPERM || r == -ENOSYS || r == -EINVAL ? -EXDEV : r;
	return open_beneath(layer->fd, path, no_openat2);
}
