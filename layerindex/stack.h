/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The merge: an ordered list of layers, and a position in the merged tree from which names are
 * looked up.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "layerindex/cleanup.h"
#include "layerindex/layerindex.h"

/*
 * A directory of the merged tree: its real path from the root, which is the same in every layer,
 * and the layers in which it exists and counts. A directory's layers are always among its
 * parent's, so that one number per layer is enough to walk down and up again.
 */
struct position {
	char *path;	 /* components joined by single slashes, "" is the root; owned */
	size_t length;	 /* of path */
	size_t capacity; /* of path's memory */
	size_t depth;	 /* number of components */
	size_t *reach;	 /* per layer: the depth down to which it takes part; owned */
};

/* What a name in a merged directory is: the topmost entry that counts. */
struct entry {
	int fd; /* O_PATH; owned */
	struct stat st;
	size_t layer;
};

#define ENTRY_INIT ((struct entry){.fd = -EBADF})

/* Starts at the root of the merged tree. Returns: 0 or -ENOMEM. */
int position_init(struct position *at, const struct li_stack *stack);
void position_done(struct position *at);

/* Goes to the root, or to the parent; the root's parent is the root. */
void position_root(struct position *at, const struct li_stack *stack);
void position_parent(struct position *at, const struct li_stack *stack);

/*
 * Looks *name* up, a plain component, in the directory *at*. Where it is a directory *at* moves
 * into it.
 *
 * Returns: 0, with *ret filled (entry_done()); -ENOENT: absent or hidden; else as li_resolve().
 *	After an error *at* is of no use.
 */
int stack_lookup(struct li_stack *stack, struct position *at, const char *name, struct entry *ret);

/* The directory *at* itself, topmost part. Returns: 0, with *ret filled, or as li_resolve(). */
int stack_self(struct li_stack *stack, const struct position *at, struct entry *ret);

/*
 * Whether *at* may be searched: link_path_walk() asks before every component, "." and ".." too.
 * For a name stack_lookup() finds out.
 *
 * Returns: 0; -EACCES: it may not; else as li_resolve().
 */
int stack_search(struct li_stack *stack, const struct position *at);

void entry_done(struct entry *entry);
DEFINE_CLEANUP(struct entry, entry_done)
