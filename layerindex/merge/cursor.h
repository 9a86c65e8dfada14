/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of the merged tree, from which names are looked up. */
#pragma once

#include <stddef.h>

#include "layerindex/cleanup.h"

/*
 * Its real path from the root, which is the same in every layer, and the layers in which it exists
 * and counts. A directory's layers are always among its parent's, so that one number per layer is
 * enough to walk down and up again.
 */
struct cursor {
	char *path;	      /* components joined by single slashes, "" is the root; owned */
	size_t length;	      /* of path */
	size_t capacity;      /* of path's memory */
	size_t depth;	      /* number of components */
	size_t layers;	      /* of the stack */
	size_t *member_depth; /* per layer: the depth down to which it takes part; owned */
};

/* Starts at the root of the merged tree. Returns: 0 or -ENOMEM. */
int cursor_init(struct cursor *at, size_t layers);
void cursor_done(struct cursor *at);

/* Goes to the root, or to the parent; the root's parent is the root. */
void cursor_root(struct cursor *at);
void cursor_parent(struct cursor *at);

/*
 * Appends a component to the path alone: the depth follows when it is known to be a directory.
 * Returns: 0 or -ENOMEM.
 */
int cursor_append(struct cursor *at, const char *name);

/* Takes that back. *length* is the path's before. */
void cursor_take_back(struct cursor *at, size_t length);
