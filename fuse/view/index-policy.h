/* SPDX-License-Identifier: Apache-2.0 */
/* Which index of layers a view uses, and when. */
#pragma once

#include <stdbool.h>

#include "fuse/base/error.h"
#include "fuse/cli/options.h"
#include "fuse/source/source.h"
#include "layerindex/layerindex.h"

enum {
	/* Fewer layers are asked in less time than an index is read: tests/bench index. */
	INDEX_LAYERS_MIN = 32,
};

/*
 * The directory of this user's index: below /run for root, else below $XDG_RUNTIME_DIR.
 * Returns: an owned path; NULL: there is none, or no memory.
 */
char *index_default_directory(void);

/*
 * Opens the index for the layers of *source*: the one that cache= names; without it this user's
 * own, if all of them are directories that containerd's snapshotter keeps (…/snapshots/N/fs) and
 * they are not too few for it to pay. If *make*, it may be missing, and is made later:
 * index_policy_publish().
 * Returns: 0, with an index, owned by the caller, or NULL in *ret; < 0 with *error*: the one that
 *	was named cannot be used.
 */
int index_policy_open(const struct options *options, const struct source *source, bool make,
		      struct li_index **ret, struct view_error *error);

/* Warns of what a stack found in its index that it could not use. */
void index_policy_report(const struct li_stack *stack);

/*
 * Files what was learned in an index, which is made where it is missing: not before the view is
 * mounted, so that a failed mount leaves no directory. Says so where that fails.
 */
void index_policy_publish(struct li_index *index, struct li_stack *stack);
