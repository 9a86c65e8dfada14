/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask-layers BLOB... <PATHS: what plain layers, bottom first, have at the paths, a line each, by
 * layers that are unpacked as far as the paths require, from the top; held against all of them,
 * unpacked from the bottom. Each path is asked alone, and once more after the ones before it. A
 * line for each tells how many layers were read for it alone, and of which kind the answer is:
 *
 *	LAYERS KIND PATH
 *
 * KIND is as asked_image_ask() returns it, or "wrong"; "refused" is not compared,
 * and ends it.
 * Status 1: an answer is another one.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "layerindex/blob/stream.h"
#include "layerindex/cleanup.h"
#include "tests/tools/asked-image.h"

enum { LINE_SIZE = 8192 };

/* Returns: whether it is a layer. */
static bool open_layer(struct asked_image *image, const char *path)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stream *stream = NULL;
	struct tar_entry entry;
	struct tar *tar;
	int r = -1;

	if (fd < 0 || stream_open(fd, STREAM_TO_END, &stream) < 0)
		return false;
	tar = tar_new(stream_source, stream);
	asked_image_begin(image);
	while (tar && (r = tar_next(tar, &entry)) > 0)
		asked_image_add(image, &entry);
	asked_image_end(image);
	tar_free(tar);
	stream_close(stream);
	return r == 0;
}

int main(int argc, char **argv)
{
	static struct asked_image image;
	static char path[LINE_SIZE];
	bool right = true;

	if (argc > ASKED_LAYERS_MAX)
		return 2;
	asked_image_init(&image);
	for (int i = 1; i < argc; i++)
		if (!open_layer(&image, argv[i])) {
			printf("layer %d is none\n", i - 1);
			return 3;
		}
	/* A loop of links, which is refused, may take long each time. */
	for (bool more = true; more && fgets(path, sizeof(path), stdin); more = !image.refused) {
		const char *kind;
		uint32_t layers;

		path[strcspn(path, "\n")] = '\0';
		kind = asked_image_ask(&image, path, &layers);
		right &= kind != NULL;
		printf("%u %s %s\n", layers, kind ? kind : "wrong", path);
	}
	asked_image_done(&image);
	return right ? 0 : 1;
}
