/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which entries of a layer concern the names of a partial tree. An entry is written where its
 * parent's links lead, so that its name alone does not always say where that is:
 *
 * - Where all directories above it have an entry of their own earlier in the layer, no link stands
 *   there, and the place is what the name says.
 * - Elsewhere it is any place that ends by the same component.
 *
 * What is left out writes and removes no name of the tree. It may make a directory where one is
 * missing: *parents* asks for the entries that may.
 */
#pragma once

#include "layerindex/blob/root-path.h"
#include "layerindex/blob/tar.h"

enum {
	/* Directories of one layer that are remembered, at most three for each four slots. */
	SIFT_SLOTS_MAX = 1 << 19,
};

/* Begins as all zeros, then sift_init(). */
struct sift {
	struct text_set directories; /* of this layer: no link stands at these paths */
	char parent[ROOT_PATH_SIZE]; /* that was looked up last, if any */
	bool is_looked_up, is_certain;
	char made[ROOT_PATH_SIZE]; /* the parent that was made last, if any */
	bool is_made;
	bool all_directories; /* concern the tree */
	bool forgot;	      /* some of *directories* */
	bool turned;	      /* a link may have taken a directory's place: see sift_begin() */
};

void sift_init(struct sift *sift, const struct siphash_key *key);
void sift_done(struct sift *sift);

/*
 * Begins a layer. The time of a directory is set when its layer ends, at what has its name by then.
 * Where that may be a link, *turned* in the end, all directories of the layer concern the tree.
 */
void sift_begin(struct sift *sift, bool all_directories);

enum sift_verdict {
	SIFT_NOTHING, /* the entry does not concern the tree */
	SIFT_PARENTS, /* only that the directories exist that it lies in */
	SIFT_ENTRY,
};

/* Takes the layer's next entry, which must have passed entry_check(). Returns: a verdict; or
 * -ENOMEM. */
int sift_entry(struct sift *sift, const struct tree *tree, const struct tar_entry *entry,
	       bool parents);
