/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OCI layout: which manifest it means, and which chain. The input is its blobs, which a NUL
 * separates, and at last its index.json. In each text "@N" stands for the digest of the Nth text
 * before, counted from 0: no fuzzer finds one.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse/base/json.h"
#include "fuse/source/blobs.h"
#include "layerindex/descriptor.h"
#include "layerindex/hash/sha256.h"
#include "tests/fuzz/check.h"

enum { TEXTS_MAX = 8 };

struct text {
	char *bytes; /* owned */
	size_t size;
	struct li_digest digest;
};

/* The file that a text is in. */
static const char *name_of(const struct text *text, bool last)
{
	static char path[sizeof("blobs/sha256/") + SHA256_DIGITS] = "blobs/sha256/";

	li_digest_print(&text->digest, path + strlen("blobs/sha256/"));
	return last ? "index.json" : path;
}

static void put(int layout, bool last, const struct text *text)
{
	int fd = openat(layout, name_of(text, last), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	require(fd >= 0 && write(fd, text->bytes, text->size) == (ssize_t)text->size,
		"a file can be written");
	close(fd);
}

/* An empty layout, made once. */
static int open_layout(void)
{
	static int layout = -EBADF;

	if (layout >= 0)
		return layout;
	layout = open_scratch();
	require(mkdirat(layout, "blobs", 0700) == 0 && mkdirat(layout, "blobs/sha256", 0700) == 0,
		"directories can be made");
	return layout;
}

/* Writes digests in the place of "@N"; the text's own comes last. */
static struct text expand(const uint8_t *data, size_t size, const struct text *before, size_t count)
{
	struct text text = {.bytes = malloc(size * DIGEST_TEXT_SIZE + 1)};
	struct sha256 hash;

	require(text.bytes != NULL, "there is memory for a text");
	for (size_t i = 0; i < size; i++) {
		size_t n = i + 1 < size ? (size_t)data[i + 1] - '0' : count;

		if (data[i] == '@' && n < count) {
			digest_print(&before[n].digest, text.bytes + text.size);
			text.size += DIGEST_TEXT_SIZE - 1;
			i++;
		} else {
			text.bytes[text.size++] = (char)data[i];
		}
	}
	sha256_start(&hash);
	sha256_add(&hash, text.bytes, text.size);
	sha256_finish(&hash, text.digest.bytes);
	return text;
}

/* Splits the input, and makes the layout of it. Returns: how many texts there are. */
static size_t make_layout(int layout, const uint8_t *data, size_t size, struct text *ret)
{
	size_t count = 0;

	for (bool last = false; !last; count++) {
		const uint8_t *end = size > 0 ? memchr(data, '\0', size) : NULL;
		size_t n = end ? (size_t)(end - data) : size;

		last = !end || count == TEXTS_MAX - 1;
		ret[count] = expand(data, n, ret, count);
		put(layout, last, &ret[count]);
		data += end ? n + 1 : n;
		size -= end ? n + 1 : n;
	}
	return count;
}

static void require_blob(const struct li_digest *digest, const struct text *texts, size_t count)
{
	bool found = false;

	for (size_t i = 0; i < count; i++)
		found |= li_digest_equal(&texts[i].digest, digest);
	require(found, "the manifest is a blob whose bytes have its digest");
}

static int read_layout(const struct blob_place *place, const struct text *texts, size_t count,
		       struct view_error *error)
{
	static struct li_digest ids[MANIFEST_LAYERS_MAX];
	cleanup_with(blobs_close) struct blobs blobs = BLOBS_INIT;
	cleanup_with(json_done) struct json_object *manifest = NULL;
	struct li_digest digest, chain, again;
	int r = blobs_open(place, &blobs, error);

	if (r == 0)
		r = blobs_read_manifest(&blobs, NULL, NULL, &digest, &manifest, error);
	if (r < 0)
		return r;
	require_blob(&digest, texts, count);
	r = blobs_read_chain(&blobs, manifest, &digest, ids, &chain, error);
	if (r < 0)
		return r;
	require(blobs_read_chain(&blobs, manifest, &digest, NULL, &again, error) == 0 &&
			li_digest_equal(&chain, &again),
		"an image has one chain");
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int layout = open_layout();
	char path[DESCRIPTOR_PATH];
	struct blob_place place = {.oci = path, .platform = "linux/arm64/v8"};
	struct text texts[TEXTS_MAX] = {};
	size_t count = make_layout(layout, data, size, texts);
	VIEW_ERROR(error);
	int r;

	descriptor_path(layout, path);
	r = read_layout(&place, texts, count, &error);
	require_reason(r, &error);
	require(r == 0 || error.code == CODE_ELAYER || error.code == CODE_ENOTAPPLICABLE ||
			error.code == CODE_EUSAGE,
		"the image is to blame, or the name that it was given");
	for (size_t i = 0; i < count; i++) {
		unlinkat(layout, name_of(&texts[i], i == count - 1), 0);
		free(texts[i].bytes);
	}
	return 0;
}
