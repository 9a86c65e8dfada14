/* SPDX-License-Identifier: Apache-2.0 */
/* One layer: a directory. It answers one question: what is NAME in directory DIR of this layer. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "layerindex/layerindex.h"

struct layer {
	const char *path;    /* as it was given; its stack's */
	bool no_magiclinks;  /* none may stand on the path: -ELOOP */
	bool given;	     /* the descriptor is the only way to it, and stays open */
	int fd;		     /* O_PATH of its root while it is kept open */
	struct li_root root; /* fixed when the layer was first opened; inode 0: it was not yet */
};

/* The fields that statx(2) must be asked for, for root_of(). */
enum { LAYER_ROOT_MASK = STATX_TYPE | STATX_INO | STATX_BTIME | STATX_CTIME };

struct li_root root_of(const struct statx *stx);

/*
 * Opens a directory as O_PATH. *no_magiclinks*: see LI_STACK_NO_MAGICLINKS; a kernel or a filter
 * without openat2(2) does not check it. Returns: a descriptor, owned by the caller, or -errno.
 */
int directory_open(const char *path, bool no_magiclinks);

/* Of *path*, which must outlive it. */
struct layer layer_of(const char *path);

/*
 * Opens the layer's root, unless it is open, into layer->fd. Opened again it must still be the
 * directory that it was the first time.
 *
 * Returns: 0; -ESTALE: it is another directory now; or what open(2) failed with.
 */
int layer_open(struct layer *layer);

/*
 * Opens the layer as the directory that *fd* is, and takes ownership of *fd*. Its path is for
 * people. Returns: 0; -ENOTDIR; or what statx(2) failed with.
 */
int layer_give(struct layer *layer, int *fd);

/* Closes the descriptor; the layer can be opened again. One that was given stays open. */
void layer_close(struct layer *layer);

/* Closes the descriptor, given or not. */
void layer_done(struct layer *layer);

/*
 * Opens *path*, beneath the root of an open layer, as O_PATH: open_beneath(), which also says what
 * *no_openat2* is. Mounts inside the layer are not seen: what they cover is, as in overlayfs.
 *
 * Returns: a descriptor, owned by the caller, or what open_beneath() returns.
 */
int layer_open_path(struct layer *layer, const char *path, bool *no_openat2);
