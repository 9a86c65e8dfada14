/* SPDX-License-Identifier: Apache-2.0 */
/* Which layer blobs an image consists of, by its manifest and configuration. */
#pragma once

#include "fuse/base/digest.h"
#include "fuse/base/error.h"
#include "layerindex/cleanup.h"

enum {
	MANIFEST_SIZE_MAX = 4 << 20, /* of an index, a manifest or a configuration */
	MANIFEST_INDEX_DEPTH_MAX = 8,
	MANIFEST_LAYERS_MAX = 500,
};

/* Where the blobs of an image are. All strings are borrowed; NULL: not given. */
struct blob_place {
	const char *oci;	     /* LAYOUT[:REF]: an OCI layout */
	const char *content;	     /* containerd's content store, or its blobs directory */
	struct digest_wish manifest; /* of the content store: a manifest, or an index */
	const char *platform;	     /* OS/ARCH[/VARIANT]; NULL: the host's */
};

struct blob_layer {
	struct li_digest blob;	  /* the compressed layer's */
	struct li_digest diff_id; /* the plain archive's */
};

struct blob_image {
	int blobs; /* the directory that has a blob at sha256/HEX; owned */
	struct li_digest manifest, chain;
	struct blob_layer *layers; /* the lowest first; owned */
	size_t count;
};

#define BLOB_IMAGE_INIT ((struct blob_image){.blobs = -EBADF})

void blob_image_done(struct blob_image *image);
DEFINE_CLEANUP(struct blob_image, blob_image_done)

/*
 * Reads the image's manifest and configuration, each checked against its digest. Of an index the
 * first manifest for the platform counts, as for containerd.
 * Returns: 0, with *ret*, owned by the caller; or < 0 with *error*: CODE_ELAYER where a blob is
 *	damaged, or missing in a layout; CODE_ENOTAPPLICABLE where it is missing in a content store,
 *	or no view can be made of such an image; CODE_EUSAGE where the layout has no such REF.
 */
int blob_image_open(const struct blob_place *place, struct blob_image *ret,
		    struct view_error *error);

/* Opens a layer's blob. Returns: a descriptor, owned by the caller, or < 0 with *error*. */
int blob_open(const struct blob_place *place, const struct blob_image *image,
	      const struct li_digest *digest, struct view_error *error);
