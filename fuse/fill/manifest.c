/* SPDX-License-Identifier: Apache-2.0 */
/* OCI image specification: manifest.md, layer.md. */
#include "fuse/fill/manifest.h"

#include <string.h>

#include "fuse/base/json.h"
#include "fuse/base/messages.h"

static const char *const layer_types[] = {
	"application/vnd.oci.image.layer.v1.tar",
	"application/vnd.oci.image.layer.v1.tar+gzip",
	"application/vnd.oci.image.layer.v1.tar+zstd",
	"application/vnd.oci.image.layer.nondistributable.v1.tar",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
	"application/vnd.docker.image.rootfs.diff.tar",
	"application/vnd.docker.image.rootfs.diff.tar.gzip",
	"application/vnd.docker.image.rootfs.diff.tar.zstd",
	"application/vnd.docker.image.rootfs.foreign.diff.tar",
	"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
};

static bool is_layer_type(const char *type)
{
	for (size_t i = 0; type && i < sizeof(layer_types) / sizeof(*layer_types); i++)
		if (strcmp(layer_types[i], type) == 0)
			return true;
	return false;
}

void blob_image_done(struct blob_image *image)
{
	blobs_close(&image->blobs);
	free(TAKE_PTR(image->layers));
	image->count = 0;
}

static int read_layers(struct json_object *layers, struct blob_image *image,
		       struct view_error *error)
{
	size_t count = json_object_array_length(layers);

	image->layers = calloc(count, sizeof(*image->layers));
	if (!image->layers)
		return view_fail(error, MSG_NO_MEMORY);
	image->count = count;
	for (size_t i = 0; i < count; i++) {
		struct json_object *layer = json_object_array_get_idx(layers, i);
		const char *type = json_string(layer, "mediaType");

		if (descriptor_digest(layer, &image->layers[i].blob) < 0)
			return blob_fail(&image->manifest, "a layer has no SHA-256 digest", error);
		if (!is_layer_type(type))
			return view_fail(error, MSG_LAYER_TYPE, i, type ? type : "");
		image->layers[i].table = blob_table_of(layer);
	}
	return 0;
}

static int read_chain(struct json_object *manifest, struct blob_image *image,
		      struct view_error *error)
{
	cleanup_free struct li_digest *ids = calloc(image->count, sizeof(*ids));

	if (!ids)
		return view_fail(error, MSG_NO_MEMORY);
	if (blobs_read_chain(&image->blobs, manifest, &image->manifest, ids, &image->chain, error) <
	    0)
		return -ECANCELED;
	for (size_t i = 0; i < image->count; i++)
		image->layers[i].diff_id = ids[i];
	return 0;
}

int blob_image_open(const struct blob_place *place, struct blob_image *ret,
		    struct view_error *error)
{
	cleanup_with(json_done) struct json_object *manifest = NULL;
	struct json_object *layers;

	if (blobs_open(place, &ret->blobs, error) < 0 ||
	    blobs_read_manifest(&ret->blobs, NULL, NULL, &ret->manifest, &manifest, error) < 0)
		return -ECANCELED;
	layers = manifest_layers(manifest, &ret->manifest, error);
	if (!layers || read_layers(layers, ret, error) < 0)
		return -ECANCELED;
	return read_chain(manifest, ret, error);
}
