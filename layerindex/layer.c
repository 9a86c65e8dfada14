/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "layerindex/beneath.h"
#include "layerindex/cleanup.h"

/* A private clone of the mount the layer lies on, without the mounts below: what overlayfs makes.
 */
static int open_clone(const char *path)
{
	cleanup_close int fd =
		(int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? TAKE_FD(fd) : -ENOTDIR;
}

static int open_root(const struct layer *layer)
{
	int fd;

	if (layer->cloned)
		return open_clone(layer->path);
	fd = open(layer->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int layer_open(struct layer *layer)
{
	cleanup_close int fd = -EBADF;
	struct stat st;

	if (layer->fd >= 0)
		return 0;
	fd = open_root(layer);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	/* Inode 0 is none: the first time. */
	if (layer->ino == 0) {
		layer->dev = st.st_dev;
		layer->ino = st.st_ino;
	} else if (layer->dev != st.st_dev || layer->ino != st.st_ino) {
		return -ESTALE;
	}
	layer->fd = TAKE_FD(fd);
	return 0;
}

void layer_close(struct layer *layer)
{
	layer->fd = close_keep_errno(layer->fd);
}

void layer_done(struct layer *layer)
{
	layer_close(layer);
	free(layer->path);
}

int layer_open_path(struct layer *layer, const char *path, bool *no_openat2)
{
	int fd = open_beneath(layer->fd, path, no_openat2);
	int r;

	if (fd != -EXDEV || layer->cloned)
		return fd;
	layer_close(layer);
	layer->cloned = true;
	r = layer_open(layer);
	if (r < 0) {
		/* Without the privilege to clone a mount: the same refusal the next time. */
		layer->cloned = false;
		return r == -EPERM || r == -ENOSYS ? -EXDEV : r;
	}
	return open_beneath(layer->fd, path, no_openat2);
}
