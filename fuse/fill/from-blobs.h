/* SPDX-License-Identifier: Apache-2.0 */
/* Fills the artifact store from an image's compressed layers; it need not be unpacked anywhere. */
#pragma once

#include "fuse/fill/fill.h"
#include "fuse/fill/manifest.h"

/* An image of layer blobs, to be unpacked when it is asked for. */
struct blob_source {
	struct blob_image image;
	enum li_store_source used; /* what the answers that were found so far came from */
	bool unusable;		   /* a layer could be read, and is bad */
};

/*
 * A call that reads the image's blobs; *source* is borrowed, and its image must be open. The caller
 * must set what is about the view.
 */
struct fill_call fill_call_of_blobs(struct blob_source *source);
