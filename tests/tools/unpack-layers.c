/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpack-layers BLOB...: the tree that the layers make, bottom first, a line a name. In place of a
 * layer, chunked:FILE and estargz:FILE are its table of contents, decoded. A line holds the name
 * and a link's target in hexadecimal, so that no byte of theirs has a meaning:
 *
 *	NAME d MODE UID GID SECONDS.NANOSECONDS
 *	NAME f MODE UID GID SECONDS.NANOSECONDS FILE SIZE SHA256
 *	NAME l UID GID SECONDS.NANOSECONDS TARGET
 *	NAME o MODE UID GID SECONDS.NANOSECONDS
 *
 * FILE is the same for the names of one file. A layer that is refused ends it with status 1, and
 * with 3 one of which containerd and the OCI specification do not make the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "layerindex/blob/apply.h"
#include "layerindex/blob/stream.h"
#include "layerindex/cleanup.h"
#include "layerindex/hash/sha256.h"
#include "tests/tools/whole-layers.h"

enum { LAYERS_MAX = 64, BUFFER_SIZE = 64 << 10, PATH_SIZE = 1 << 20 };

/* The digests of the contents of one layer, by entry. */
struct digests {
	char (*items)[SHA256_DIGITS + 1];
	uint64_t count;
};

static struct digests digests[LAYERS_MAX];

static int keep_digest(uint32_t layer, uint64_t entry, const uint8_t bytes[SHA256_BYTES])
{
	struct digests *of = &digests[layer];

	if (entry >= of->count) {
		uint64_t room = 2 * entry + 16;
		void *items = realloc(of->items, room * sizeof(*of->items));

		if (!items)
			return -ENOMEM;
		of->items = items;
		memset(of->items + of->count, 0, (room - of->count) * sizeof(*of->items));
		of->count = room;
	}
	for (size_t i = 0; i < SHA256_BYTES; i++)
		snprintf(of->items[entry] + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

static int digest_content(void *context, struct tar *tar, uint32_t layer, uint64_t entry)
{
	uint8_t bytes[SHA256_BYTES];
	struct sha256 hash;
	static char buffer[BUFFER_SIZE];
	ssize_t n;

	(void)context;
	sha256_start(&hash);
	while ((n = tar_read(tar, buffer, sizeof(buffer))) > 0)
		sha256_add(&hash, buffer, (size_t)n);
	if (n < 0)
		return (int)n;
	sha256_finish(&hash, bytes);
	return keep_digest(layer, entry, bytes);
}

static int keep_range(void *context, uint32_t layer, uint64_t entry, const struct toc_range *range)
{
	(void)context;
	return keep_digest(layer, entry, range->digest.bytes);
}

static ssize_t read_table(void *from, void *buffer, size_t n)
{
	ssize_t r = read(*(int *)from, buffer, n);

	return r < 0 ? -errno : r;
}

static int unpack_table(struct apply *apply, enum toc_form form, const char *path)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct toc *toc = toc_new(form, read_table, &fd);
	int r = fd < 0 ? -errno : toc ? whole_table(apply, toc, keep_range, NULL) : -ENOMEM;

	toc_free(toc);
	return r;
}

static int unpack_blob(struct apply *apply, const char *path)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	static char rest[BUFFER_SIZE];
	struct stream *stream = NULL;
	struct tar *tar;
	ssize_t r = fd < 0 ? -errno : stream_open(fd, STREAM_TO_END, &stream);

	if (r < 0)
		return (int)r;
	tar = tar_new(stream_source, stream);
	r = tar ? whole_layer(apply, tar, digest_content, NULL) : -ENOMEM;
	/* What is behind the archive must be undamaged, too. */
	while (r == 0 && (r = stream_read(stream, rest, sizeof(rest))) > 0)
		r = 0;
	tar_free(tar);
	stream_close(stream);
	return (int)r;
}

static int unpack(struct apply *apply, const char *path)
{
	if (strncmp(path, "chunked:", 8) == 0)
		return unpack_table(apply, TOC_CHUNKED, path + 8);
	if (strncmp(path, "estargz:", 8) == 0)
		return unpack_table(apply, TOC_ESTARGZ, path + 8);
	return unpack_blob(apply, path);
}

/* Of a file's content; what a table says of an empty one is nothing. */
static const char *digest_of(const struct tree_file *file)
{
	static const char nothing[] =
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

	if (file->size == 0)
		return nothing;
	/* An eStargz's table says nothing of itself. */
	return file->entry < digests[file->layer].count ? digests[file->layer].items[file->entry]
							: "";
}

static void print_hex(const char *text)
{
	for (; *text; text++)
		printf("%02x", (unsigned char)*text);
}

static void print_file(const struct apply *apply, uint32_t name, const struct tree_file *file)
{
	static const char types[] = {
		[TREE_FILE] = 'f',	[TREE_DIRECTORY] = 'd', [TREE_SYMLINK] = 'l',
		[TREE_CHARACTER] = 'o', [TREE_BLOCK] = 'o',	[TREE_FIFO] = 'o'};

	printf(" %c", types[file->type]);
	if (file->type != TREE_SYMLINK)
		printf(" %04o", file->mode);
	printf(" %u %u %jd.%09ld", file->uid, file->gid, (intmax_t)file->mtime.tv_sec,
	       file->mtime.tv_nsec);
	if (file->type == TREE_FILE)
		printf(" %u %jd %s", apply->tree.names[name].file, (intmax_t)file->size,
		       digest_of(file));
	if (file->type == TREE_SYMLINK) {
		putchar(' ');
		print_hex(file->target);
	}
	putchar('\n');
}

/* *path* is that of *parent*, of which *length* bytes count. */
static void print_below(const struct apply *apply, uint32_t parent, char *path, size_t length)
{
	const struct tree_name *names = apply->tree.names;

	for (uint32_t i = names[parent].child; i != UINT32_MAX; i = names[i].next) {
		const struct tree_file *file = tree_file(&apply->tree, i);
		size_t n;

		if (!file)
			continue;
		n = (size_t)snprintf(path + length, PATH_SIZE - length, "%s%s", length ? "/" : "",
				     names[i].text);
		print_hex(path);
		print_file(apply, i, file);
		if (file->type == TREE_DIRECTORY)
			print_below(apply, i, path, length + n);
		path[length] = '\0';
	}
}

int main(int argc, char **argv)
{
	static char path[PATH_SIZE];
	struct apply apply;

	if (apply_init(&apply, false) < 0 || argc > LAYERS_MAX)
		return 2;
	for (int i = 1; i < argc; i++) {
		int r = unpack(&apply, argv[i]);

		if (r < 0) {
			printf("layer %d: %s: %s\n", i - 1, strerror(-r), apply.reason);
			apply_done(&apply);
			return r == -ENOMEM ? 2 : r == -EPROTONOSUPPORT ? 3 : 1;
		}
	}
	print_below(&apply, TREE_ROOT, path, 0);
	apply_done(&apply);
	for (size_t i = 0; i < LAYERS_MAX; i++)
		free(digests[i].items);
	return 0;
}
