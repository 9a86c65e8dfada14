/* SPDX-License-Identifier: Apache-2.0 */
/* An image that is asked for paths in two ways: wholly unpacked, or as far as a path requires. */
#pragma once

#include "layerindex/blob/partial.h"

enum { ASKED_LAYERS_MAX = 64 };

/* A layer's name log. */
struct asked_log {
	char *bytes; /* owned */
	size_t size, room, at;
};

/* Begins as zeros, then asked_image_init(). */
struct asked_image {
	struct asked_log logs[ASKED_LAYERS_MAX];
	uint32_t count;
	bool refused; /* by containerd, or here */
	struct apply whole;
	bool is_together;	 /* *together* has begun */
	uint64_t asked;		 /* paths */
	struct partial together; /* asked for all paths, one after another */
};

void asked_image_init(struct asked_image *image);
void asked_image_done(struct asked_image *image);

/* Adds a layer on top of those before it: begins it, adds its entries, and ends it. */
void asked_image_begin(struct asked_image *image);
void asked_image_add(struct asked_image *image, const struct tar_entry *entry);
void asked_image_end(struct asked_image *image);

/*
 * Asks for a path alone, and once more after the ones before it. *ret_layers* is how many layers
 * were read for it alone. Returns: the kind of answer, "file", "other", "absent", "disputed", or
 * "refused", which is not compared; NULL: an answer is another one than of the whole.
 */
const char *asked_image_ask(struct asked_image *image, const char *path, uint32_t *ret_layers);
