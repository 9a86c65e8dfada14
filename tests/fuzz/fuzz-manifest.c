/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OCI layout: index.json, then the blobs that it leads to, each behind a NUL. Where a text has
 * "@N", N a digit, it has the digest of blob N, counted from 1, of those behind it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse/fill/manifest.h"
#include "layerindex/hash/sha256.h"
#include "tests/fuzz/check.h"

enum { TEXTS_MAX = 10, TEXT_MAX = 64 << 10 };

struct text {
	const char *bytes;
	size_t size;
	char name[sizeof("sha256/") + SHA256_DIGITS]; /* of the blob; "": none yet */
};

static char directory[] = "/tmp/fuzz-manifest-XXXXXX";
static int layout = -1;

static void leave(void)
{
	require(unlinkat(layout, "blobs/sha256", AT_REMOVEDIR) == 0 &&
			unlinkat(layout, "blobs", AT_REMOVEDIR) == 0 && rmdir(directory) == 0,
		"nothing is left");
}

/* Makes an empty layout, once. */
static void make_layout(void)
{
	if (layout >= 0)
		return;
	require(mkdtemp(directory) != NULL, "there is a place for a layout");
	layout = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	require(mkdirat(layout, "blobs", 0700) == 0 && mkdirat(layout, "blobs/sha256", 0700) == 0 &&
			atexit(leave) == 0,
		"a layout is made");
}

/* Puts in the digests of the blobs behind. Returns: the size. */
static size_t expand(const struct text *texts, size_t at, size_t count, char ret[TEXT_MAX])
{
	const struct text *text = &texts[at];
	size_t n = 0;

	for (size_t i = 0; i < text->size && n < TEXT_MAX - DIGEST_TEXT_SIZE; i++) {
		size_t which = i + 1 < text->size ? (size_t)(text->bytes[i + 1] - '0') : 0;

		if (text->bytes[i] != '@' || which <= at || which >= count) {
			ret[n++] = text->bytes[i];
			continue;
		}
		n += (size_t)snprintf(ret + n, DIGEST_TEXT_SIZE, "sha256:%s",
				      texts[which].name + strlen("sha256/"));
		i++;
	}
	return n;
}

static void write_file(const char *path, const char *bytes, size_t n)
{
	cleanup_close int fd = openat(layout, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	require(fd >= 0 && write(fd, bytes, n) == (ssize_t)n, "a file is written");
}

static void write_text(struct text *texts, size_t at, size_t count)
{
	static char bytes[TEXT_MAX];
	char path[sizeof("blobs/sha256/") + SHA256_DIGITS] = "index.json";
	size_t n = expand(texts, at, count, bytes);
	struct li_digest digest;
	struct sha256 hash;

	if (at > 0) {
		sha256_start(&hash);
		sha256_add(&hash, bytes, n);
		sha256_finish(&hash, digest.bytes);
		strcpy(texts[at].name, "sha256/");
		li_digest_print(&digest, texts[at].name + strlen("sha256/"));
		snprintf(path, sizeof(path), "blobs/%s", texts[at].name);
	}
	write_file(path, bytes, n);
}

static void check_image(const struct blob_image *image)
{
	require(image->count > 0 && image->count <= MANIFEST_LAYERS_MAX, "it has layers");
	for (size_t i = 0; i < image->count; i++) {
		const struct blob_table *table = &image->layers[i].table;

		require(table->form != TOC_CHUNKED || (table->offset >= 0 && table->length >= 0 &&
						       table->length <= BLOB_TABLE_MAX),
			"a table has a place");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct blob_place place = {.oci = directory, .platform = "linux/amd64"};
	cleanup_with(blob_image_done) struct blob_image image = BLOB_IMAGE_INIT;
	struct text texts[TEXTS_MAX] = {};
	VIEW_ERROR(error);
	size_t count = 0;
	int r;

	make_layout();
	for (size_t at = 0; at < size && count < TEXTS_MAX; count++) {
		texts[count].bytes = (const char *)data + at;
		texts[count].size = strnlen((const char *)data + at, size - at);
		at += texts[count].size + 1;
	}
	for (size_t i = count; i > 0; i--)
		write_text(texts, i - 1, count);
	r = blob_image_open(&place, &image, &error);
	require_reason(r, &error);
	if (r == 0)
		check_image(&image);
	for (size_t i = 1; i < count; i++) {
		char path[sizeof("blobs/sha256/") + SHA256_DIGITS];

		snprintf(path, sizeof(path), "blobs/%s", texts[i].name);
		unlinkat(layout, path, 0);
	}
	unlinkat(layout, "index.json", 0);
	return 0;
}
