/* SPDX-License-Identifier: Apache-2.0 */
/* Fills the artifact store with what a view of an image asks for. */
#pragma once

#include <json-c/json.h>

#include "fuse/base/digest.h"
#include "fuse/base/error.h"
#include "fuse/cli/fill-progress.h"
#include "fuse/cli/options.h"
#include "fuse/source/image.h"
#include "layerindex/store/store.h"

struct fill_call {
	/* Of the image. */
	struct li_store_key key; /* what it is filed under; by manifest: by the chain as well */
	struct li_digest chain;
	/* Where its answers come from: read when they have been found. What a table of contents
	 * says is filed by manifest only. */
	const enum li_store_source *source;
	uint32_t layers; /* of its manifest; 0: unknown */
	/* Whether what failed will fail again: it is remembered by manifest. NULL: no. */
	const bool *unusable;
	/*
	 * Opens the image, when *store* lacks an answer. Returns: 0, with *ret*, which uses the
	 * store until it is closed; or < 0 with *error*.
	 */
	int (*open)(const struct fill_call *call, const struct li_store *store, struct image *ret,
		    struct view_error *error);
	void *context;

	/* Of the view. */
	const struct options *options;
	struct json_object *annotations; /* an object, or NULL */
	/* Of waiting for another process that adds the image (now_us()); 0: not at all. */
	uint64_t deadline_us;
	/* Is told of each step, but for the rate; NULL: it is not. */
	void (*progress)(const struct fill_progress *progress);
};

struct fill_result {
	bool added;	/* false: the store had all answers */
	uint64_t bytes; /* of the artifacts that were copied */
	struct li_store_facts facts;
};

void fill_result_done(struct fill_result *result);
DEFINE_CLEANUP(struct fill_result, fill_result_done)

/*
 * Files an answer for each artifact that a view with these options and annotations asks for, copies
 * of the artifacts among them, unless the store in *directory*, which is made if it is missing, has
 * them all. Of two processes that do so at once one does it. If the image holds nothing that boots,
 * that is filed too.
 * Returns: 0, with *ret* owned by the caller, or < 0 with *error*.
 */
int fill_store(const struct fill_call *call, const char *directory, struct fill_result *ret,
	       struct view_error *error);
