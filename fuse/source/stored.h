/* SPDX-License-Identifier: Apache-2.0 */
/* Which image of the artifact store a source means: by chain id, by manifest, or by its blobs. */
#pragma once

#include "fuse/cli/options.h"
#include "fuse/source/image.h"
#include "fuse/source/source.h"

/*
 * Opens the stored image that the source names, for which source_names_stored(). The store is asked
 * by chain id, then by what was named of the blobs, and only then is a blob read: an index, to find
 * the manifest (source->manifest), by which the store is asked again. Where chain id and blobs are
 * both named, they must be of one image; of an image that is stored by chain that is not known, and
 * not checked, where the blobs are gone.
 * Returns: 0; IMAGE_MISS with *error*, which is CODE_ENOTAPPLICABLE: the store lacks it, and adding
 *	it may help; or < 0 with *error*: as image_open_stored() and blobs_read_manifest(), and
 *	CODE_EDIGEST: the manifest is another image's.
 */
int stored_open(struct source *source, const struct options *options, struct image *ret,
		struct view_error *error);
