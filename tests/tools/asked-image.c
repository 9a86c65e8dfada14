/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/tools/asked-image.h"

/* gcc's analyzer loses sight of what an item of an array owns. */
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void asked_image_init(struct asked_image *image)
{
	*image = (struct asked_image){};
	if (apply_init(&image->whole, false) < 0)
		abort();
}

void asked_image_done(struct asked_image *image)
{
	if (image->is_together)
		partial_done(&image->together);
	apply_done(&image->whole);
	for (uint32_t i = 0; i < image->count; i++)
		free(image->logs[i].bytes);
}

static void put(struct asked_log *log, const void *bytes, size_t n)
{
	size_t room = log->room > 0 ? log->room : 1 << 16;
	char *grown;

	while (room - log->size < n)
		room *= 2;
	grown = realloc(log->bytes, room);
	if (!grown)
		abort();
	log->bytes = grown;
	log->room = room;
	memcpy(grown + log->size, bytes, n);
	log->size += n;
}

static ssize_t take(void *from, void *buffer, size_t n)
{
	struct asked_log *log = from;

	if (n > log->size - log->at)
		n = log->size - log->at;
	memcpy(buffer, log->bytes + log->at, n);
	log->at += n;
	return (ssize_t)n;
}

void asked_image_begin(struct asked_image *image)
{
	put(&image->logs[image->count++], layer_log_header, LAYER_LOG_HEADER);
	apply_begin_layer(&image->whole);
}

void asked_image_add(struct asked_image *image, const struct tar_entry *entry)
{
	struct asked_log *log = &image->logs[image->count - 1];
	uint8_t record[LAYER_LOG_RECORD];

	layer_log_encode(entry, record);
	put(log, record, sizeof(record));
	put(log, entry->name, strlen(entry->name));
	put(log, entry->link, strlen(entry->link));
	if (!image->refused && apply_entry(&image->whole, entry) < 0)
		image->refused = true;
	image->whole.entry++;
}

void asked_image_end(struct asked_image *image)
{
	/* What containerd makes of a disputed layer is known, too. */
	if (!image->refused && apply_end_layer(&image->whole) == -EBADMSG)
		image->refused = true;
}

/* Asks, and reads the layers that must be read for it. */
static int ask(struct asked_image *image, struct partial *partial, const char *path,
	       struct partial_answer *ret)
{
	uint32_t layer;
	int r;

	while ((r = partial_find(partial, path, ret, &layer)) == -EAGAIN) {
		struct layer_log *log = layer_log_new(take, &image->logs[layer]);

		image->logs[layer].at = 0;
		r = partial_read_log(partial, layer, log);
		layer_log_free(log);
		if (r < 0)
			return r;
	}
	return r;
}

static bool is_same_file(const struct tree_file *a, const struct tree_file *b)
{
	if (a->type != b->type || a->mode != b->mode || a->uid != b->uid || a->gid != b->gid)
		return false;
	if (a->mtime.tv_sec != b->mtime.tv_sec || a->mtime.tv_nsec != b->mtime.tv_nsec)
		return false;
	if (a->type == TREE_FILE)
		return a->size == b->size && a->layer == b->layer && a->entry == b->entry;
	return true;
}

/* What an answer is; NULL: another one than it should be. */
static const char *compare(struct asked_image *image, const char *path, int r,
			   const struct partial_answer *answer)
{
	char where[APPLY_PATH_SIZE];
	const struct tree_file *file;
	int expected = apply_find(&image->whole, path, &file, where);

	if (r == -EPROTONOSUPPORT)
		return "disputed";
	if (image->refused)
		return "refused";
	if (r != expected)
		return NULL;
	if (r < 0)
		return "absent";
	if (strcmp(where, answer->path) != 0)
		return NULL;
	/* No layer is read to find the root: its time is unknown, and is never used. */
	if (*where && !is_same_file(file, answer->file))
		return NULL;
	return file->type == TREE_FILE ? "file" : "other";
}

const char *asked_image_ask(struct asked_image *image, const char *path, uint32_t *ret_layers)
{
	struct partial_answer answer;
	struct partial alone;
	const char *kind;
	int r;

	if (!image->is_together && partial_init(&image->together, image->count) < 0)
		abort();
	image->is_together = true;
	if (partial_init(&alone, image->count) < 0)
		abort();
	/* As if all layers were large. */
	alone.small_layer_max = 0;
	r = ask(image, &alone, path, &answer);
	kind = compare(image, path, r, &answer);
	*ret_layers = alone.count - alone.lowest;
	partial_done(&alone);
	/* Every other path is noted ahead. */
	if (image->asked++ % 2 > 0)
		partial_expect(&image->together, path);
	r = ask(image, &image->together, path, &answer);
	return compare(image, path, r, &answer) ? kind : NULL;
}
