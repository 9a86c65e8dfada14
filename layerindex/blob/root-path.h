/* SPDX-License-Identifier: Apache-2.0 */
/* Paths as Go's path/filepath and containerd/continuity's fs.RootPath() make them. */
#pragma once

#include "layerindex/blob/tree.h"

enum {
	/* Bytes of a path with its NUL, after links were followed. */
	ROOT_PATH_SIZE = 4096,
	ROOT_PATH_LINKS_MAX = 255,
};

/*
 * filepath.Clean(): the shortest path that is lexically the same, "." for an empty one.
 * Returns: 0; or -ENAMETOOLONG.
 */
int path_clean(const char *path, char ret[ROOT_PATH_SIZE]);

/*
 * Resolves the symbolic links of *path* inside the tree: absolute ones begin at its root, and none
 * leads above it. What is not there stays as it is written.
 * Returns: 0, with an absolute clean path without links in *ret, as far as it is known;
 *	-ENAMETOOLONG; -ENOTDIR: a file stands where a directory must be; -ELOOP; of a partial tree
 *	also -E2BIG or -ENOMEM.
 */
int root_path(struct tree *tree, const char *path, char ret[ROOT_PATH_SIZE]);

/* What a walk does with a link that leaves the tree, and with one at its end. */
enum path_rules {
	/* lstat(2) from outside, where the tree is unpacked: the former finds nothing of the image,
	 * the latter is what is found. */
	PATH_ON_HOST,
	/* open(2) in the image: absolute links begin at its root, ".." stops there, and a link at
	 * the end is followed. */
	PATH_IN_IMAGE,
};

/*
 * Walks a path as the kernel does, at most 40 links long.
 * Returns: 0, with a name that has a file; -ENOENT; -ENOTDIR; -ENAMETOOLONG; -ELOOP; of a partial
 *	tree also -EAGAIN: layers below may have a name on the way; -E2BIG or -ENOMEM.
 */
int path_walk(struct tree *tree, const char *path, enum path_rules rules, uint32_t *ret);

/* The name at an absolute clean path without links; UINT32_MAX: the tree has none. */
uint32_t path_find(const struct tree *tree, const char *path);
