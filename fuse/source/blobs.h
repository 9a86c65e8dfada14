/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The blobs of an image, in an OCI layout or in containerd's content store, and which of them is
 * its manifest. All of it was written by the image's author: what is read is bounded, and checked
 * against its digest, but for a layout's index.json, which has none.
 */
#pragma once

#include <json-c/json.h>

#include "fuse/base/digest.h"
#include "fuse/base/error.h"
#include "layerindex/cleanup.h"

enum {
	MANIFEST_SIZE_MAX = 4 << 20, /* of an index, a manifest or a configuration */
	MANIFEST_INDEX_DEPTH_MAX = 8,
	MANIFEST_LAYERS_MAX = 500,
	PLATFORM_SIZE = 128, /* of OS/ARCH[/VARIANT], with its NUL */
};

/* Where the blobs of an image are. All strings are borrowed; NULL: not given. */
struct blob_place {
	const char *oci;	     /* LAYOUT[:REF]: an OCI layout */
	const char *content;	     /* containerd's content store, or its blobs directory */
	struct digest_wish manifest; /* of the content store: a manifest, or an index */
	const char *platform;	     /* OS/ARCH[/VARIANT]; NULL: the host's */
};

struct blobs {
	const struct blob_place *place; /* borrowed */
	int directory;			/* that has a blob at sha256/HEX; owned */
	struct li_digest named;		/* what the place names: a manifest, or an index */
};

#define BLOBS_INIT ((struct blobs){.directory = -EBADF})

void blobs_close(struct blobs *blobs);
DEFINE_CLEANUP(struct blobs, blobs_close)

/*
 * Opens the place, which must outlive *ret*, and finds out what it names; no blob is read.
 * Returns: 0, with *ret*, owned by the caller; or < 0 with *error*: CODE_ELAYER of a layout,
 *	CODE_ENOTAPPLICABLE of a content store that is not there; CODE_EUSAGE where the layout has
 *	no such REF.
 */
int blobs_open(const struct blob_place *place, struct blobs *ret, struct view_error *error);

/* Opens a blob. Returns: a descriptor, owned by the caller, or < 0 with *error*. */
int blob_open(const struct blobs *blobs, const struct li_digest *digest, struct view_error *error);

/* Says what is wrong with a blob: CODE_ELAYER. Returns: < 0 with *error*. */
int blob_fail(const struct li_digest *digest, const char *reason, struct view_error *error);

/* The digest that a descriptor names. Returns: 0, or -EINVAL: none that is a SHA-256. */
int descriptor_digest(struct json_object *descriptor, struct li_digest *ret);

/* Asked of each digest that may be the manifest's, before it is read. Returns: whether to stop. */
typedef bool (*blobs_known)(void *context, const struct li_digest *digest);

/*
 * Reads the manifest that the place means. Of an index the first for the platform counts, as for
 * containerd. *known* may be NULL.
 * Returns: 0, with its digest, and the manifest, an object owned by the caller, or NULL where
 *	*known* says to stop; or < 0 with *error*: CODE_ELAYER where a blob is damaged, or missing
 *	in a layout; CODE_ENOTAPPLICABLE where it is missing in a content store, or no manifest is
 *	for the platform.
 */
int blobs_read_manifest(const struct blobs *blobs, blobs_known known, void *context,
			struct li_digest *ret, struct json_object **ret_manifest,
			struct view_error *error);

/*
 * The descriptors of the layers of *manifest*, whose digest is *digest*: a borrowed array of 1 to
 * MANIFEST_LAYERS_MAX, the lowest first. Returns: NULL with *error*: there are not so many.
 */
struct json_object *manifest_layers(struct json_object *manifest, const struct li_digest *digest,
				    struct view_error *error);

/*
 * Reads the configuration of a manifest: the chain id, and in *ret_ids*, if that is not NULL, the
 * diff ids of its layers, the lowest first, as many as manifest_layers() has. Returns: 0, or < 0
 * with *error*, as blobs_read_manifest().
 */
int blobs_read_chain(const struct blobs *blobs, struct json_object *manifest,
		     const struct li_digest *digest, struct li_digest *ret_ids,
		     struct li_digest *ret, struct view_error *error);
