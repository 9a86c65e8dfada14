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

/* The layers of a manifest, which blobs_read_chain() has found to be as many as *ids*. */
static int read_layers(struct json_object *layers, const struct li_digest *ids,
		       struct blob_image *image, struct view_error *error)
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
		image->layers[i].diff_id = ids[i];
	}
	return 0;
}

int blob_image_open(const struct blob_place *place, struct blob_image *ret,
		    struct view_error *error)
{
	cleanup_with(json_done) struct json_object *manifest = NULL;
	cleanup_free struct li_digest *ids = calloc(MANIFEST_LAYERS_MAX, sizeof(*ids));

	if (!ids)
		/* cppcheck-suppress memleak ; cleanup_with() frees it */
		return view_fail(error, MSG_NO_MEMORY);
	if (blobs_open(place, &ret->blobs, error) < 0 ||
	    blobs_read_manifest(&ret->blobs, &ret->manifest, &manifest, error) < 0 ||
	    blobs_read_chain(&ret->blobs, manifest, &ret->manifest, ids, &ret->chain, error) < 0)
		return -ECANCELED;
	return read_layers(json_member(manifest, "layers", json_type_array), ids, ret, error);
}
