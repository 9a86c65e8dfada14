/* SPDX-License-Identifier: Apache-2.0 */
/* Which layer blobs an image consists of, by its manifest and configuration. */
#pragma once

#include "fuse/fill/blob-table.h"
#include "fuse/source/blobs.h"

struct blob_layer {
	struct li_digest blob;	  /* the compressed layer's */
	struct li_digest diff_id; /* the plain archive's */
	struct blob_table table;
};

struct blob_image {
	struct blobs blobs; /* owned */
	struct li_digest manifest, chain;
	struct blob_layer *layers; /* the lowest first; owned */
	size_t count;
};

#define BLOB_IMAGE_INIT ((struct blob_image){.blobs = BLOBS_INIT})

void blob_image_done(struct blob_image *image);
DEFINE_CLEANUP(struct blob_image, blob_image_done)

/*
 * Reads the image's manifest and configuration, each checked against its digest; see
 * blobs_read_manifest(). *place* must outlive *ret*. Returns: 0, with *ret*, owned by the caller;
 * or < 0 with *error*: CODE_ENOTAPPLICABLE also where a layer is of an unknown type.
 */
int blob_image_open(const struct blob_place *place, struct blob_image *ret,
		    struct view_error *error);
