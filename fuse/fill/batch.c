/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/fill/batch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fuse/base/messages.h"

int open_unnamed(int directory)
{
	int fd = openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

void batch_add(struct batch *batch, const struct unpacked *what)
{
	size_t at = batch->count;

	for (size_t i = 0; i < batch->count; i++)
		if (batch->items[i]->entry == what->entry)
			return;
	if (batch->count == EXTRACT_MAX)
		return;
	for (; at > 0 && batch->items[at - 1]->entry > what->entry; at--)
		batch->items[at] = batch->items[at - 1];
	batch->items[at] = what;
	batch->count++;
}

void outputs_done(struct outputs *outputs)
{
	while (outputs->count > 0)
		close(outputs->items[--outputs->count].out);
}
int outputs_open(int directory, const struct batch *batch, struct outputs *ret,
		 struct view_error *error)
{
	for (size_t i = 0; i < batch->count; i++) {
		const struct unpacked *what = batch->items[i];
		int fd = open_unnamed(directory);

		if (fd < 0)
			return view_fail(error, MSG_SYSTEM, "O_TMPFILE", strerror(-fd));
		ret->items[ret->count++] =
			(struct wanted_content){what->entry, what->st.st_size, fd};
	}
	return 0;
}
