/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All layers are unpacked in memory, names and attributes only, the lowest first, by their name
 * logs. A layer whose log the store lacks is decoded for it; and once more for the contents of
 * files that are asked for, unless they were kept then.
 *
 * Of a layer that has a table of contents, only the table and the files that are asked for are
 * read. If that turns out wrong in any way, all layers are read instead.
 */
#include "fuse/fill/from-blobs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/clock.h"
#include "fuse/base/messages.h"
#include "fuse/fill/extracted.h"
#include "fuse/fill/unpacker.h"
#include "layerindex/blob/layer-log.h"

/* Of an image, what is kept of its layers before it is known what is asked for. */
enum {
	KEPT_FILES_MAX = 64,
	KEPT_BYTES_MAX = 1 << 30,
};

/* An image while it is asked. */
struct unpacked_image {
	struct blob_source *source;
	struct unpacker unpacker;
	bool tables;		      /* layers that have one were added by their table */
	bool distrust;		      /* what the store knows of layers is not used */
	bool was_told;		      /* something of that was used */
	const struct li_store *store; /* borrowed */
	struct timespec deadline;     /* of waiting for another process */
	struct extracted_files extracted;
	int64_t kept_room;	  /* of files that were met while a layer was listed: bytes */
	struct view_error *error; /* of a layer that turned out bad */
	void (*progress)(const struct fill_progress *progress); /* or NULL */
	struct fill_progress at;
};

static void close_unpacked(void *context)
{
	struct unpacked_image *image = context;

	extracted_clear(&image->extracted);
	unpacker_stop(&image->unpacker);
	free(image);
}

static void tell_progress(void *context, uint64_t bytes)
{
	struct unpacked_image *image = context;

	image->at.bytes = bytes;
	image->progress(&image->at);
}

/* Opens a layer's blob at its start. */
static int open_layer(struct unpacked_image *image, uint32_t i, struct opened_blob *ret,
		      struct view_error *error)
{
	const struct blob_image *blobs = &image->source->image;
	const struct blob_layer *layer = &blobs->layers[i];
	int fd = blob_open(&blobs->blobs, &layer->blob, error);
	struct stat st;

	*ret = (struct opened_blob){.fd = fd, .digest = layer->blob, .diff_id = layer->diff_id};
	if (fd >= 0 && image->progress && fstat(fd, &st) == 0) {
		image->at = (struct fill_progress){i + 1, (uint32_t)blobs->count, 0,
						   (uint64_t)st.st_size, 0};
		ret->tell = tell_progress;
		ret->context = image;
	}
	return fd;
}

/* Whether a layer was added by its table of contents. */
static bool is_by_table(const struct unpacked_image *image, size_t layer)
{
	return image->tables && image->source->image.layers[layer].table.form != TOC_NONE;
}

static int open_unnamed(const struct unpacked_image *image)
{
	int fd = openat(li_store_fd(image->store), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

/* Files of one layer to extract, in the archive's order, each once. */
struct batch {
	size_t count;
	const struct unpacked *items[EXTRACT_MAX];
};

static void batch_add(struct batch *batch, const struct unpacked *what)
{
	size_t at = batch->count;

	for (size_t i = 0; i < batch->count; i++)
		if (batch->items[i]->entry == what->entry)
			return;
	if (batch->count == EXTRACT_MAX)
		return;
	for (; at > 0 && batch->items[at - 1]->entry > what->entry; at--)
		batch->items[at] = batch->items[at - 1];
	batch->items[at] = what;
	batch->count++;
}

/* Where files are extracted to. */
struct outputs {
	size_t count;
	struct wanted_content items[EXTRACT_MAX]; /* their descriptors are owned */
};

static void outputs_done(struct outputs *outputs)
{
	while (outputs->count > 0)
		close(outputs->items[--outputs->count].out);
}
DEFINE_CLEANUP(struct outputs, outputs_done)

static int outputs_open(const struct unpacked_image *image, const struct batch *batch,
			struct outputs *ret, struct view_error *error)
{
	for (size_t i = 0; i < batch->count; i++) {
		const struct unpacked *what = batch->items[i];
		int fd = open_unnamed(image);

		if (fd < 0)
			return view_fail(error, MSG_SYSTEM, "O_TMPFILE", strerror(-fd));
		ret->items[ret->count++] =
			(struct wanted_content){what->entry, what->st.st_size, fd};
	}
	return 0;
}

/* Extracts files of one layer, by its table or by decoding it once. */
static int extract(struct unpacked_image *image, const struct batch *batch,
		   struct view_error *error)
{
	cleanup_with(outputs_done) struct outputs outputs = {};
	uint32_t layer = batch->items[0]->layer;
	const struct li_digest *digest = NULL;
	cleanup_close int blob_fd = -EBADF;
	struct opened_blob blob;
	int r;

	if (layer >= image->source->image.count)
		return view_fail(error, MSG_SYSTEM, "unpacker", "an answer makes no sense");
	blob_fd = open_layer(image, layer, &blob, error);
	if (blob_fd < 0 || outputs_open(image, batch, &outputs, error) < 0)
		return -ECANCELED;
	if (is_by_table(image, layer)) {
		digest = &batch->items[0]->range.digest;
		r = unpacker_extract_range(&blob, batch->items[0], outputs.items[0].out, error);
	} else {
		r = unpacker_extract(&image->unpacker, &blob, outputs.items, outputs.count, error);
	}
	while (r == 0 && outputs.count > 0) {
		struct wanted_content *item = &outputs.items[--outputs.count];

		if (extracted_add(&image->extracted, layer, item->entry, item->out, digest) < 0)
			return view_fail(error, MSG_NO_MEMORY);
	}
	return r;
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

/* Lists a layer into *log*, and files that under its diff id. */
static int list_layer(struct unpacked_image *image, uint32_t i, int log, struct view_error *error)
{
	cleanup_with(kept_files_done) struct kept_files kept = {.room = image->kept_room};
	struct opened_blob blob;
	cleanup_close int fd = open_layer(image, i, &blob, error);
	struct stat st;

	if (fd < 0)
		return -ECANCELED;
	if (unpacker_list(&blob, log, li_store_fd(image->store), &kept, error) < 0) {
		image->source->unusable = true;
		return -ECANCELED;
	}
	image->kept_room = kept.room;
	while (kept.count > 0 && image->extracted.count < KEPT_FILES_MAX) {
		kept.count--;
		if (extracted_add(&image->extracted, i, kept.entries[kept.count],
				  kept.fds[kept.count], NULL) < 0)
			return view_fail(error, MSG_NO_MEMORY);
	}
	/* Where it cannot be filed the next image lists the layer again. */
	if (fstat(log, &st) == 0 && st.st_size <= LAYER_LOG_KEPT_MAX)
		li_store_layer_add(image->store, &blob.diff_id, log);
	return 0;
}

/* Returns: a layer's name log, owned by the caller, or < 0 with *error*. */
static int open_log(struct unpacked_image *image, uint32_t i, struct view_error *error)
{
	const struct li_digest *diff_id = &image->source->image.layers[i].diff_id;
	cleanup_close int lock = -EBADF, log = -EBADF;

	if (!image->distrust)
		log = li_store_layer_open(image->store, diff_id);
	if (log < 0) {
		lock = li_store_layer_lock(image->store, diff_id, &image->deadline);
		if (lock < 0)
			return view_fail(error, MSG_SYSTEM, "layer", strerror(-lock));
		/* The process that had the lock may have listed it. */
		if (!image->distrust)
			log = li_store_layer_open(image->store, diff_id);
	}
	if (log >= 0) {
		image->was_told = true;
		return TAKE_FD(log);
	}
	log = open_unnamed(image);
	if (log < 0)
		return view_fail(error, MSG_SYSTEM, "O_TMPFILE", strerror(-log));
	return list_layer(image, i, log, error) < 0 ? -ECANCELED : TAKE_FD(log);
}

/* Unpacks the next layer from the bottom. */
static int unpack_layer(struct unpacked_image *image, uint32_t i, struct view_error *error)
{
	const struct blob_layer *layer = &image->source->image.layers[i];
	struct opened_blob blob = {.fd = -EBADF, .digest = layer->blob, .diff_id = layer->diff_id};
	cleanup_close int fd = -EBADF;
	int r;

	if (is_by_table(image, i)) {
		fd = open_layer(image, i, &blob, error);
		r = fd < 0 ? fd : unpacker_add_table(&image->unpacker, &blob, &layer->table, error);
	} else {
		fd = open_log(image, i, error);
		r = fd < 0 ? fd : unpacker_add_log(&image->unpacker, &blob, fd, error);
	}
	image->source->unusable |= r < 0 && fd >= 0;
	return r;
}

static int unpack_all(struct unpacked_image *image, struct view_error *error)
{
	image->source->unusable = false;
	image->was_told = false;
	if (unpacker_start(&image->unpacker, error) < 0)
		return -ECANCELED;
	for (uint32_t i = 0; i < image->source->image.count; i++)
		if (unpack_layer(image, i, error) < 0)
			return -ECANCELED;
	return 0;
}

/* Where it fails by what the store knows of layers, that may be damaged: all are read again. */
static int unpack_layers(struct unpacked_image *image, struct view_error *error)
{
	VIEW_ERROR(fault);

	if (unpack_all(image, &fault) == 0)
		return 0;
	if (!image->was_told || image->distrust)
		return view_fail(error, fault.code, "%s", fault.message);
	unpacker_stop(&image->unpacker);
	extracted_clear(&image->extracted);
	image->distrust = true;
	return unpack_all(image, error);
}

/* Forgets what tables said, and reads all layers. */
static int unpack_without_tables(struct unpacked_image *image, struct view_error *error)
{
	unpacker_stop(&image->unpacker);
	extracted_clear(&image->extracted);
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

/* Extracts a file. Returns: 0; -ESTALE: a table was wrong, and is not used any more; or -errno. */
static int extract_one(struct unpacked_image *image, const struct unpacked *what)
{
	const struct batch batch = {1, {what}};
	VIEW_ERROR(fault);
	int r;

	if (what->layer >= image->source->image.count || !is_by_table(image, what->layer))
		return extract(image, &batch, image->error);
	if (extract(image, &batch, &fault) == 0)
		return 0;
	r = unpack_without_tables(image, image->error);
	return r < 0 ? r : -ESTALE;
}

/* Opens the content of a file. Returns: 0, with *ret*, or as extract_one(). */
static int open_content(struct unpacked_image *image, const struct unpacked *what,
			struct image_file *ret)
{
	const struct extracted *extracted =
		extracted_find(&image->extracted, what->layer, what->entry);
	int r = extracted ? 0 : extract_one(image, what);

	if (r < 0)
		return r;
	if (!extracted)
		extracted = extracted_find(&image->extracted, what->layer, what->entry);
	ret->fd = extracted_open(extracted);
	ret->digest = extracted->digest;
	ret->is_ours = true;
	return ret->fd < 0 ? ret->fd : 0;
}

static int find_unpacked(void *context, const char *path, struct image_file *ret)
{
	struct unpacked_image *image = context;
	cleanup_free struct unpacked *what = calloc(1, sizeof(*what));
	int r = what ? unpacker_find(&image->unpacker, path, what) : -ENOMEM;

	if (image->tables)
		image->source->used = LI_STORE_TOC;
	if (r < 0)
		return r;
	if (S_ISREG(what->st.st_mode))
		r = open_content(image, what, ret);
	if (r == -ESTALE)
		return find_unpacked(context, path, ret);
	if (r < 0)
		return r;
	ret->name = strdup(what->path);
	if (!ret->name || make_origin(image->source, what, &ret->origin) < 0)
		return -ENOMEM;
	ret->st = what->st;
	ret->layer = what->layer;
	return 0;
}

/* Extracts, of each layer, all files at *found* that are not there yet. */
static int extract_found(struct unpacked_image *image, const struct unpacked *found, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct batch batch = {};

		for (size_t j = i; j < n; j++)
			if (found[j].layer == found[i].layer && S_ISREG(found[j].st.st_mode) &&
			    !extracted_find(&image->extracted, found[j].layer, found[j].entry))
				batch_add(&batch, &found[j]);
		if (batch.count > 0 && extract(image, &batch, image->error) < 0)
			return -ECANCELED;
	}
	return 0;
}

/* Extracts at once what several paths lead to in one layer. What fails otherwise fails again. */
static int prepare_files(void *context, char *const *paths, size_t n)
{
	struct unpacked_image *image = context;
	cleanup_free struct unpacked *found = NULL;
	size_t count = 0;

	if (image->tables)
		return 0;
	found = calloc(n, sizeof(*found));
	if (!found)
		return view_fail(image->error, MSG_NO_MEMORY);
	for (size_t i = 0; i < n; i++)
		if (unpacker_find(&image->unpacker, paths[i], &found[count]) == 0)
			count++;
	return extract_found(image, found, count);
}

static bool has_table(const struct blob_image *image)
{
	for (size_t i = 0; i < image->count; i++)
		if (image->layers[i].table.form != TOC_NONE)
			return true;
	return false;
}

static int open_blobs(const struct fill_call *call, const struct li_store *store, struct image *ret,
		      struct view_error *error)
{
	struct blob_source *source = call->context;
	struct unpacked_image *image = calloc(1, sizeof(*image));

	if (!image)
		return view_fail(error, MSG_NO_MEMORY);
	*image = (struct unpacked_image){
		.source = source,
		.tables = call->options->toc == TOC_AUTO && has_table(&source->image),
		.unpacker = UNPACKER_INIT,
		.store = store,
		.deadline = {.tv_sec =
				     (time_t)(now_us() / 1000000) + (time_t)call->options->timeout},
		.error = error,
		.progress = call->progress,
		.kept_room = KEPT_BYTES_MAX,
	};
	ret->layers = source->image.count;
	ret->finder = (struct image_finder){
		.find = find_unpacked,
		.prepare = prepare_files,
		.close = close_unpacked,
		.context = image,
	};
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
