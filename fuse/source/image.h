/* SPDX-License-Identifier: Apache-2.0 */
/* The files of an image, wherever it lies. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "layerindex/layerindex.h"

struct image {
	struct li_stack *stack; /* its layer directories; owned; NULL once they were released */
	struct li_index *index; /* that the stack was opened with; owned, or NULL */
};

void image_close(struct image *image);
DEFINE_CLEANUP(struct image, image_close)

/* What a path of an image leads to. */
struct image_file {
	int fd;		/* open for reading; -EBADF: it is no regular file; owned */
	struct stat st; /* as the image has it */
	size_t layer;	/* which has it */
	char *name;	/* the file's path beneath that layer, without a leading slash; owned */
};

#define IMAGE_FILE_INIT ((struct image_file){.fd = -EBADF})

void image_file_done(struct image_file *file);
DEFINE_CLEANUP(struct image_file, image_file_done)

/*
 * Finds what *path* leads to, and opens it if it is a regular file; nothing else is opened: a
 * device would do what opening it does. The attributes are those of the very file that is open.
 * Returns: 0, with *ret*, which must be IMAGE_FILE_INIT; or see li_resolve() and li_file_open().
 */
int image_find(const struct image *image, const char *path, struct image_file *ret);

/* Where a file of the image lies, for people; owned, or NULL without memory. */
char *image_origin(const struct image *image, const struct image_file *file);

/* An image in words, for messages: "any of 20 layers". */
struct image_words {
	char text[96];
};

struct image_words image_in_words(const struct image *image);

/* Whether it lies on a filesystem that is made of others: see li_stack_is_stacked(). */
bool image_is_stacked(const struct image *image);
