/* SPDX-License-Identifier: Apache-2.0 */
/* The merge: what one name is in a directory of the merged tree. */
#pragma once

#include "layerindex/merge/cursor.h"
#include "layerindex/merge/stack.h"

/*
 * Looks *name* up, a plain component, in the directory *at*. Where it is a directory *at* moves
 * into it.
 *
 * Returns: 0, with *ret filled (entry_done()); -ENOENT: absent or hidden; else as li_resolve().
 *	After an error *at* is of no use.
 */
int merge_lookup(struct li_stack *stack, struct cursor *at, const char *name, struct entry *ret);

/* The directory *at* itself, topmost part. Returns: 0, with *ret filled, or as li_resolve(). */
int merge_self(struct li_stack *stack, const struct cursor *at, struct entry *ret);

/*
 * Whether *at* may be searched: link_path_walk() asks before every component, "." and ".." too.
 * For a name merge_lookup() finds out.
 *
 * Returns: 0; -EACCES: it may not; else as li_resolve().
 */
int merge_search(struct li_stack *stack, const struct cursor *at);
