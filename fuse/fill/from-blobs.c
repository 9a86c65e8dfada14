/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All layers are unpacked in memory, names and attributes only, the lowest first. The layer of a
 * file that is asked for is decoded once more, for the file's content.
 *
 * Of a layer that has a table of contents, only the table and the files that are asked for are
 * read. If that turns out wrong in any way, all layers are read instead.
 */
#include "fuse/fill/from-blobs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/messages.h"
#include "fuse/fill/unpacker.h"
#include "layerindex/descriptor.h"

enum { EXTRACTED_MAX = 8 };

/* An image while it is asked. */
struct unpacked_image {
	struct blob_source *source;
	struct unpacker unpacker;
	bool tables; /* layers that have one were added by their table */
	int store;   /* where files without a name are made; borrowed */
	/* What was extracted: asked for again it is not decoded again. */
	struct extracted {
		uint32_t layer;
		uint64_t entry;
		int fd; /* owned */
	} extracted[EXTRACTED_MAX];
	size_t count;
	struct view_error *error; /* of a layer that turned out bad */
};

static void close_extracted(struct unpacked_image *image)
{
	while (image->count > 0)
		close(image->extracted[--image->count].fd);
}

static void close_unpacked(void *context)
{
	struct unpacked_image *image = context;

	close_extracted(image);
	unpacker_stop(&image->unpacker);
	free(image);
}

/* Opens a layer's blob at its start. */
static int open_layer(const struct blob_source *source, size_t i, struct unpacker_blob *ret,
		      struct view_error *error)
{
	const struct blob_layer *layer = &source->image.layers[i];
	int fd = blob_open(&source->image.blobs, &layer->blob, error);

	*ret = (struct unpacker_blob){fd, layer->blob, layer->diff_id};
	return fd;
}

/* Whether a layer was added by its table of contents. */
static bool is_by_table(const struct unpacked_image *image, size_t layer)
{
	return image->tables && image->source->image.layers[layer].table.form != TOC_NONE;
}

/* Returns: a file that holds the content, at its start (owned by *image*), or < 0 with *error*. */
static int extract(struct unpacked_image *image, const struct unpacked *what,
		   struct view_error *error)
{
	cleanup_close int fd = openat(image->store, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	cleanup_close int blob_fd = -EBADF;
	struct unpacker_blob blob;

	if (fd < 0)
		return view_fail(error, MSG_SYSTEM, "O_TMPFILE", strerror(errno));
	if (what->layer >= image->source->image.count || image->count == EXTRACTED_MAX)
		return view_fail(error, MSG_SYSTEM, "unpacker", "an answer makes no sense");
	blob_fd = open_layer(image->source, what->layer, &blob, error);
	if (blob_fd < 0)
		return -ECANCELED;
	if (is_by_table(image, what->layer)
		    ? unpacker_extract_range(&blob, what, fd, error) < 0
		    : unpacker_extract(&image->unpacker, &blob, what, fd, error) < 0)
		return -ECANCELED;
	image->extracted[image->count++] =
		(struct extracted){what->layer, what->entry, TAKE_FD(fd)};
	return image->extracted[image->count - 1].fd;
}

static int find_extracted(struct unpacked_image *image, const struct unpacked *what)
{
	for (size_t i = 0; i < image->count; i++)
		if (image->extracted[i].layer == what->layer &&
		    image->extracted[i].entry == what->entry)
			return image->extracted[i].fd;
	return -ENOENT;
}

/* Opens a description of its own: each that asks reads from the start. */
static int reopen(int fd)
{
	char path[DESCRIPTOR_PATH];
	int r;

	descriptor_path(fd, path);
	r = open(path, O_RDONLY | O_CLOEXEC);
	return r < 0 ? -errno : r;
}

/* Of a regular file. */
static int make_origin(const struct blob_source *source, const struct unpacked *what, char **ret)
{
	char digest[DIGEST_TEXT_SIZE];
	char *origin;

	if (!S_ISREG(what->st.st_mode))
		return 0;
	digest_print(&source->image.layers[what->layer].blob, digest);
	if (asprintf(&origin, "%s/%s", digest, what->path) < 0)
		return -ENOMEM;
	*ret = origin;
	return 0;
}

static int unpack_layers(struct unpacked_image *image, struct view_error *error)
{
	struct blob_source *source = image->source;

	source->unusable = false;
	if (unpacker_start(&image->unpacker, error) < 0)
		return -ECANCELED;
	for (size_t i = 0; i < source->image.count; i++) {
		const struct blob_table *table = &source->image.layers[i].table;
		const struct unpacker *unpacker = &image->unpacker;
		struct unpacker_blob blob;
		cleanup_close int fd = open_layer(source, i, &blob, error);

		if (fd < 0)
			return -ECANCELED;
		if ((is_by_table(image, i) ? unpacker_add_table(unpacker, &blob, table, error)
					   : unpacker_add(unpacker, &blob, error)) < 0) {
			image->source->unusable = true;
			return -ECANCELED;
		}
	}
	return 0;
}

/* Forgets what tables said, and reads all layers. */
static int unpack_without_tables(struct unpacked_image *image, struct view_error *error)
{
	unpacker_stop(&image->unpacker);
	close_extracted(image);
	image->tables = false;
	return unpack_layers(image, error);
}

static int unpack(struct unpacked_image *image, struct view_error *error)
{
	VIEW_ERROR(fault);

	if (!image->tables)
		return unpack_layers(image, error);
	return unpack_layers(image, &fault) < 0 ? unpack_without_tables(image, error) : 0;
}

/* Opens the content of a file. Returns: a descriptor, owned by the caller; -ESTALE: a table was
 * wrong, and is not used any more; or -errno. */
static int open_content(struct unpacked_image *image, const struct unpacked *what)
{
	VIEW_ERROR(fault);
	int r = find_extracted(image, what);

	if (r >= 0)
		return reopen(r);
	if (what->layer >= image->source->image.count || !is_by_table(image, what->layer)) {
		r = extract(image, what, image->error);
		return r < 0 ? r : reopen(r);
	}
	r = extract(image, what, &fault);
	if (r >= 0)
		return reopen(r);
	r = unpack_without_tables(image, image->error);
	return r < 0 ? r : -ESTALE;
}

static int find_unpacked(void *context, const char *path, struct image_file *ret)
{
	struct unpacked_image *image = context;
	cleanup_free struct unpacked *what = calloc(1, sizeof(*what));
	cleanup_close int fd = -EBADF;
	int r = what ? unpacker_find(&image->unpacker, path, what) : -ENOMEM;

	if (image->tables)
		image->source->used = LI_STORE_TOC;
	if (r < 0)
		return r;
	if (S_ISREG(what->st.st_mode)) {
		fd = open_content(image, what);
		if (fd == -ESTALE)
			return find_unpacked(context, path, ret);
		if (fd < 0)
			return fd;
	}
	ret->name = strdup(what->path);
	if (!ret->name || make_origin(image->source, what, &ret->origin) < 0)
		return -ENOMEM;
	ret->fd = TAKE_FD(fd);
	ret->st = what->st;
	ret->layer = what->layer;
	return 0;
}

static bool has_table(const struct blob_image *image)
{
	for (size_t i = 0; i < image->count; i++)
		if (image->layers[i].table.form != TOC_NONE)
			return true;
	return false;
}

static int open_blobs(void *context, const struct options *options, int store, struct image *ret,
		      struct view_error *error)
{
	struct blob_source *source = context;
	struct unpacked_image *image = calloc(1, sizeof(*image));

	if (!image)
		return view_fail(error, MSG_NO_MEMORY);
	*image = (struct unpacked_image){
		.source = source,
		.tables = options->toc == TOC_AUTO && has_table(&source->image),
		.unpacker = UNPACKER_INIT,
		.store = store,
		.error = error,
	};
	ret->layers = source->image.count;
	ret->finder = (struct image_finder){find_unpacked, close_unpacked, image};
	return unpack(image, error);
}

struct fill_call fill_call_of_blobs(struct blob_source *source)
{
	source->used = LI_STORE_BLOB;
	return (struct fill_call){
		.key = {LI_STORE_MANIFEST, source->image.manifest},
		.chain = source->image.chain,
		.source = &source->used,
		.layers = (uint32_t)source->image.count,
		.unusable = &source->unusable,
		.open = open_blobs,
		.context = source,
	};
}
