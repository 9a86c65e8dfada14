/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers are read from the top by their name logs, as far down as an answer requires. A layer whose
 * log the store lacks is decoded for it; what is likely to be asked for is kept then. For contents
 * of other files that are asked for it is decoded once more.
 *
 * Of a layer that has a table of contents, only the table and the files that are asked for are
 * read. If that turns out wrong in any way, the layers are read instead.
 */
#include "fuse/fill/from-blobs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/clock.h"
#include "fuse/base/messages.h"
#include "fuse/fill/batch.h"
#include "fuse/fill/extracted.h"
#include "fuse/fill/unpacker.h"
#include "layerindex/blob/layer-log.h"

/* Of an image, what is kept of its layers before it is known what is asked for. */
enum {
	KEPT_FILES_MAX = 64,
	KEPT_BYTES_MAX = 1 << 30,
	/* How often each layer may be read for a path, on average. */
	READS_MAX = 64,
};

/* An image while it is asked. */
struct unpacked_image {
	struct blob_source *source;
	struct unpacker unpacker;
	int *logs;		      /* of layers that were read; < 0: not yet; owned */
	uint32_t lowest;	      /* layers from this one on were read */
	bool tables;		      /* layers that have one are read by their table */
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

static void close_logs(struct unpacked_image *image)
{
	for (size_t i = 0; i < image->source->image.count; i++)
		image->logs[i] = close_keep_errno(image->logs[i]);
}

static void close_unpacked(void *context)
{
	struct unpacked_image *image = context;

	extracted_clear(&image->extracted);
	close_logs(image);
	free(image->logs);
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

/* Whether a layer is read by its table of contents. */
static bool is_by_table(const struct unpacked_image *image, size_t layer)
{
	return image->tables && image->source->image.layers[layer].table.form != TOC_NONE;
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
	if (blob_fd < 0 || outputs_open(li_store_fd(image->store), batch, &outputs, error) < 0)
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
	log = open_unnamed(li_store_fd(image->store));
	if (log < 0)
		return view_fail(error, MSG_SYSTEM, "O_TMPFILE", strerror(-log));
	return list_layer(image, i, log, error) < 0 ? -ECANCELED : TAKE_FD(log);
}

/* Reads a layer that the unpacker asked for. */
static int read_layer(struct unpacked_image *image, uint32_t i, struct view_error *error)
{
	const struct blob_layer *layer = &image->source->image.layers[i];
	struct opened_blob blob = {.fd = -EBADF, .digest = layer->blob, .diff_id = layer->diff_id};
	cleanup_close int fd = -EBADF;
	int r;

	if (is_by_table(image, i)) {
		fd = open_layer(image, i, &blob, error);
		if (fd < 0)
			return fd;
		r = unpacker_read_table(&image->unpacker, &blob, i, &layer->table, error);
	} else {
		if (image->logs[i] < 0)
			image->logs[i] = open_log(image, i, error);
		if (image->logs[i] < 0)
			return -ECANCELED;
		r = unpacker_read_log(&image->unpacker, &blob, i, image->logs[i], error);
	}
	image->source->unusable |= r < 0;
	if (r == 0 && i < image->lowest)
		image->lowest = i;
	return r;
}

/* Says why the image is refused. */
static int fail_refused(struct unpacked_image *image, const struct unpacked *what,
			struct view_error *error)
{
	struct opened_blob blob = {.digest = image->source->image.layers[what->layer].blob};

	image->source->unusable = true;
	return unpacker_fail(&blob, &what->status, error);
}

/* Whether an unpacker can have said so: it knows nothing of layers that it did not read. */
static bool is_possible(const struct unpacked_image *image, int r, const struct unpacked *what)
{
	if (r == -EAGAIN)
		return what->layer + 1 >= image->lowest && what->layer < image->source->image.count;
	if (r == 0 || r == -EBADMSG)
		return what->layer >= image->lowest && what->layer < image->source->image.count;
	return image->lowest < image->source->image.count;
}

/*
 * Asks the unpacker, which may ask for layers first, each more than once.
 * Returns: as unpacker_find(); or -ECANCELED with *error*.
 */
static int ask(struct unpacked_image *image, const char *path, struct unpacked *ret,
	       struct view_error *error)
{
	size_t most = image->source->image.count * READS_MAX;

	for (size_t reads = 0; reads < most; reads++) {
		int r = unpacker_find(&image->unpacker, path, ret);

		if (r != -EIO && !is_possible(image, r, ret))
			return -EIO;
		if (r == -EBADMSG)
			return fail_refused(image, ret, error);
		if (r != -EAGAIN)
			return r;
		if (read_layer(image, ret->layer, error) < 0)
			return -ECANCELED;
	}
	return view_fail(error, MSG_SYSTEM, "unpacker", "it comes to no end");
}

static int restart(struct unpacked_image *image, struct view_error *error)
{
	unpacker_stop(&image->unpacker);
	extracted_clear(&image->extracted);
	close_logs(image);
	image->lowest = (uint32_t)image->source->image.count;
	image->source->unusable = false;
	image->was_told = false;
	return unpacker_start(image->lowest, &image->unpacker, error);
}

/*
 * The same. Where it fails by what tables say, that is forgotten; where by what the store knows of
 * layers, that may be damaged: they are read again.
 */
static int find(struct unpacked_image *image, const char *path, struct unpacked *ret)
{
	for (;;) {
		VIEW_ERROR(fault);
		int r = ask(image, path, ret, &fault);

		if (r != -ECANCELED)
			return r;
		if (image->tables)
			image->tables = false;
		else if (image->was_told && !image->distrust)
			image->distrust = true;
		else
			return view_fail(image->error, fault.code, "%s", fault.message);
		if (restart(image, image->error) < 0)
			return -ECANCELED;
	}
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
	image->tables = false;
	r = restart(image, image->error);
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
	int r = what ? find(image, path, what) : -ENOMEM;

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

	for (size_t i = 0; i < n; i++)
		unpacker_expect(&image->unpacker, paths[i]);
	if (image->tables || n == 0)
		return 0;
	found = calloc(n, sizeof(*found));
	if (!found)
		return view_fail(image->error, MSG_NO_MEMORY);
	for (size_t i = 0; i < n; i++) {
		int r = find(image, paths[i], &found[count]);

		if (r == -ECANCELED)
			return r;
		count += r == 0;
	}
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
	int *logs = calloc(source->image.count, sizeof(*logs));

	if (!image || !logs) {
		free(image);
		free(logs);
		return view_fail(error, MSG_NO_MEMORY);
	}
	for (size_t i = 0; i < source->image.count; i++)
		logs[i] = -EBADF;
	*image = (struct unpacked_image){
		.source = source,
		.tables = call->options->toc == TOC_AUTO && has_table(&source->image),
		.unpacker = UNPACKER_INIT,
		.logs = logs,
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
	return restart(image, error);
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
