/* SPDX-License-Identifier: Apache-2.0 */
/* Fills the artifact store from a tree: the image as it is unpacked. */
#pragma once

#include <json-c/json.h>

#include "fuse/base/digest.h"
#include "fuse/base/error.h"
#include "fuse/cli/options.h"
#include "layerindex/store/store.h"

struct tree_call {
	struct li_digest chain; /* what the tree is filed under */
	const char *tree;	/* tree_open() says which are accepted */
	const struct options *options;
	struct json_object *annotations; /* an object, or NULL */
	uint64_t deadline_us;		 /* of waiting for another process (now_us()) */
	/* Is told how many of how many bytes are done; NULL: not. */
	void (*progress)(uint64_t done, uint64_t all);
};

struct tree_result {
	bool added;	/* false: the store had all answers */
	uint64_t bytes; /* of the artifacts that were copied */
	struct li_store_facts facts;
};

void tree_result_done(struct tree_result *result);
DEFINE_CLEANUP(struct tree_result, tree_result_done)

/*
 * Files an answer for each artifact that a view with these options and annotations asks for, copies
 * of the artifacts among them, unless the store in *directory*, which is made if it is missing, has
 * them all. Of two processes that do so at once one does it. If the tree holds nothing that boots,
 * that is filed too.
 * Returns: 0, with *ret* owned by the caller, or < 0 with *error*.
 */
int fill_from_tree(const struct tree_call *call, const char *directory, struct tree_result *ret,
		   struct view_error *error);
