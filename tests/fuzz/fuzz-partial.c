/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image that is unpacked as far as a path requires has at it what all of it has. A few bytes are
 * an entry: names are few, so that they meet often.
 */
#include <stdio.h>
#include <string.h>

#include "tests/fuzz/check.h"
#include "tests/tools/asked-image.h"

/* Links that lengthen a path each time they are followed take long: they are short. */
enum { PATH_PARTS = 3, LINK_PARTS = 2, ENTRIES_MAX = 16, QUERIES = 2 };

struct input {
	const uint8_t *bytes;
	size_t left;
};

static unsigned take(struct input *input, unsigned choices)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->bytes++ % choices;
}

/* Writes a path of some components. */
static void take_path(struct input *input, const char *prefix, const char *mark, unsigned most,
		      char ret[64])
{
	static const char parts[][3] = {"a", "b", "c", "d", "e", "l", "..", "."};
	unsigned count = 1 + take(input, most);
	size_t n = (size_t)snprintf(ret, 64, "%s", prefix);

	for (unsigned i = 0; i < count; i++) {
		bool last = i + 1 == count;

		n += (size_t)snprintf(ret + n, 64 - n, "%s%s%s", i > 0 ? "/" : "", last ? mark : "",
				      parts[take(input, last && *mark ? 6 : 8)]);
	}
}

static void take_entry(struct input *input, struct asked_image *image)
{
	static const char types[] = "0055221122g6";
	static const char marks[][5] = {"", "", "", "", "", "", ".wh."};
	static const char prefixes[][4] = {"", "", "", "/", "./", "../"};
	char name[64], link[64];
	struct tar_entry entry = {
		.name = name,
		.link = link,
		.type = types[take(input, sizeof(types) - 1)],
		.mode = 0644 + (take(input, 2) << 3),
		.mtime.tv_sec = (time_t)image->whole.entry,
	};

	take_path(input, prefixes[take(input, 6)], marks[take(input, 7)], PATH_PARTS, name);
	take_path(input, prefixes[take(input, 6)], "", LINK_PARTS, link);
	if (take(input, 16) == 0) {
		char *slash = strrchr(name, '/');
		char *base = slash ? slash + 1 : name;

		snprintf(base, sizeof(name) - (size_t)(base - name), ".wh..wh..opq");
	}
	asked_image_add(image, &entry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	unsigned layers = 1 + take(&input, 4);
	static struct asked_image image;
	char path[64];
	uint32_t read;

	asked_image_init(&image);
	for (unsigned i = 0; i < layers; i++) {
		asked_image_begin(&image);
		for (unsigned n = take(&input, ENTRIES_MAX / layers) + 1; n > 0; n--)
			take_entry(&input, &image);
		asked_image_end(&image);
	}
	for (unsigned i = 0; i < (image.refused ? 1 : QUERIES); i++) {
		take_path(&input, "", "", PATH_PARTS, path);
		require(asked_image_ask(&image, path, &read) != NULL, "the answers are the same");
	}
	asked_image_done(&image);
	return 0;
}
