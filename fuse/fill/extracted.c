/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/fill/extracted.h"

#include <errno.h>
#include <fcntl.h>

#include "layerindex/array.h"
#include "layerindex/descriptor.h"

static int reopen(int fd)
{
	char path[DESCRIPTOR_PATH];
	int r;

	descriptor_path(fd, path);
	r = open(path, O_RDONLY | O_CLOEXEC);
	return r < 0 ? -errno : r;
}

int extracted_add(struct extracted_files *files, uint32_t layer, uint64_t entry, int fd,
		  const struct li_digest *digest)
{
	struct extracted *items =
		array_grow(files->items, files->count, &files->room, sizeof(*items));
	int readable = reopen(fd);

	close(fd);
	if (items)
		files->items = items;
	if (!items || readable < 0) {
		close_keep_errno(readable);
		return items ? readable : -ENOMEM;
	}
	items[files->count++] = (struct extracted){
		.layer = layer,
		.entry = entry,
		.fd = readable,
		.digest = {digest != NULL, digest ? *digest : (struct li_digest){}},
	};
	return 0;
}

const struct extracted *extracted_find(const struct extracted_files *files, uint32_t layer,
				       uint64_t entry)
{
	for (size_t i = 0; i < files->count; i++)
		if (files->items[i].layer == layer && files->items[i].entry == entry)
			return &files->items[i];
	return NULL;
}

int extracted_open(const struct extracted *file)
{
	return reopen(file->fd);
}

void extracted_clear(struct extracted_files *files)
{
	while (files->count > 0)
		close(files->items[--files->count].fd);
	free(files->items);
	*files = (struct extracted_files){};
}
