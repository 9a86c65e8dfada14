/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask-layers BLOB... <PATHS: what plain layers, bottom first, have at the paths, a line each, by
 * layers that are unpacked as far as the paths require, from the top; held against all of them,
 * unpacked from the bottom. Each path is asked alone, and once more after the ones before it. A
 * line for each tells how many layers were read for it alone, and of which kind the answer is:
 *
 *	LAYERS KIND PATH
 *
 * KIND is "file", "other", "absent", "disputed"; or "refused", which is not compared,
 * and ends it.
 * Status 1: an answer is another one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "layerindex/blob/partial.h"
#include "layerindex/blob/stream.h"
#include "layerindex/cleanup.h"

enum { LAYERS_MAX = 64, LINE_SIZE = 8192 };

/* A layer's name log. */
struct log {
	char *bytes; /* owned */
	size_t size, room, at;
};

struct image {
	struct log logs[LAYERS_MAX];
	uint32_t count;
	bool refused; /* by containerd, or here */
	struct apply whole;
	struct partial together; /* asked for all paths, one after another */
};

static void put(struct log *log, const void *bytes, size_t n)
{
	while (log->room - log->size < n) {
		log->room = log->room > 0 ? 2 * log->room : 1 << 16;
		log->bytes = realloc(log->bytes, log->room);
		if (!log->bytes)
			exit(2);
	}
	memcpy(log->bytes + log->size, bytes, n);
	log->size += n;
}

static ssize_t take(void *from, void *buffer, size_t n)
{
	struct log *log = from;

	if (n > log->size - log->at)
		n = log->size - log->at;
	memcpy(buffer, log->bytes + log->at, n);
	log->at += n;
	return (ssize_t)n;
}

/* Applies a layer to the whole, and writes its log. Returns: whether it is one. */
static bool read_layer(struct image *image, struct tar *tar)
{
	struct log *log = &image->logs[image->count++];
	uint8_t record[LAYER_LOG_RECORD];
	struct apply *whole = &image->whole;
	struct tar_entry entry;
	int r;

	put(log, layer_log_header, LAYER_LOG_HEADER);
	for (apply_begin_layer(whole); (r = tar_next(tar, &entry)) > 0; whole->entry++) {
		layer_log_encode(&entry, record);
		put(log, record, sizeof(record));
		put(log, entry.name, strlen(entry.name));
		put(log, entry.link, strlen(entry.link));
		if (!image->refused && apply_entry(whole, &entry) < 0)
			image->refused = true;
	}
	/* What containerd makes of a disputed layer is known, too. */
	if (!image->refused && apply_end_layer(whole) == -EBADMSG)
		image->refused = true;
	return r == 0;
}

static bool open_layer(struct image *image, const char *path)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stream *stream;
	struct tar *tar;
	bool is_one;

	if (fd < 0 || stream_open(fd, STREAM_TO_END, &stream) < 0)
		return false;
	tar = tar_new(stream_source, stream);
	is_one = tar && read_layer(image, tar);
	tar_free(tar);
	stream_close(stream);
	return is_one;
}

/* Asks, and reads the layers that must be read for it. */
static int ask(struct image *image, struct partial *partial, const char *path,
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
static const char *compare(struct image *image, const char *path, int r,
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
	if (strcmp(where, answer->path) != 0 || !is_same_file(file, answer->file))
		return NULL;
	return file->type == TREE_FILE ? "file" : "other";
}

static bool ask_both(struct image *image, const char *path)
{
	struct partial_answer answer;
	struct partial alone;
	const char *kind, *again;
	uint32_t count;
	int r;

	if (partial_init(&alone, image->count) < 0)
		exit(2);
	r = ask(image, &alone, path, &answer);
	kind = compare(image, path, r, &answer);
	count = alone.count - alone.lowest;
	if (!kind)
		printf("wrong: %d, %s: %s\n", r, r < 0 ? "" : answer.path, path);
	partial_done(&alone);
	r = ask(image, &image->together, path, &answer);
	again = compare(image, path, r, &answer);
	if (!again)
		printf("wrong after others: %d, %s: %s\n", r, r < 0 ? "" : answer.path, path);
	if (kind && again)
		printf("%u %s %s\n", count, kind, path);
	return kind && again;
}

int main(int argc, char **argv)
{
	static struct image image;
	static char path[LINE_SIZE];
	bool right = true;

	if (argc > LAYERS_MAX || apply_init(&image.whole, false) < 0)
		return 2;
	for (int i = 1; i < argc; i++)
		if (!open_layer(&image, argv[i])) {
			printf("layer %d is none\n", i - 1);
			return 3;
		}
	if (partial_init(&image.together, image.count) < 0)
		return 2;
	while (fgets(path, sizeof(path), stdin)) {
		path[strcspn(path, "\n")] = '\0';
		right &= ask_both(&image, path);
		/* A loop of links may take long each time. */
		if (image.refused)
			break;
	}
	partial_done(&image.together);
	apply_done(&image.whole);
	for (uint32_t i = 0; i < image.count; i++)
		free(image.logs[i].bytes);
	return right ? 0 : 1;
}
