/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/source/image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void image_close(struct image *image)
{
	li_stack_close(TAKE_PTR(image->stack));
	li_index_close(TAKE_PTR(image->index));
}

void image_file_done(struct image_file *file)
{
	file->fd = close_keep_errno(file->fd);
	free(TAKE_PTR(file->name));
}

int image_find(const struct image *image, const char *path, struct image_file *ret)
{
	cleanup_with(li_file_done) struct li_file found = LI_FILE_INIT;
	cleanup_close int fd = -EBADF;
	int r = li_resolve(image->stack, path, 0, &found);

	if (r < 0)
		return r;
	if (S_ISREG(found.st.st_mode)) {
		fd = li_file_open(&found);
		if (fd < 0)
			return fd;
		if (fstat(fd, &found.st) < 0)
			return -errno;
	}
	*ret = (struct image_file){
		.fd = TAKE_FD(fd),
		.st = found.st,
		.layer = found.layer,
		.name = TAKE_PTR(found.name),
	};
	return 0;
}

char *image_origin(const struct image *image, const struct image_file *file)
{
	char *origin;
	int r = asprintf(&origin, "%s/%s", li_stack_path(image->stack, file->layer), file->name);

	return r < 0 ? NULL : origin;
}

struct image_words image_in_words(const struct image *image)
{
	struct image_words words;

	snprintf(words.text, sizeof(words.text), "any of %zu layers", li_stack_size(image->stack));
	return words;
}

bool image_is_stacked(const struct image *image)
{
	return li_stack_is_stacked(image->stack);
}
