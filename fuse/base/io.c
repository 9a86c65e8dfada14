/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "layerindex/cleanup.h"

enum { FILE_SIZE_MAX = 1 << 20 };

int read_all(int fd, size_t max, char **ret, size_t *ret_size)
{
	cleanup_free char *text = NULL;
	size_t size = 0, capacity = 0;

	for (;;) {
		ssize_t n;

		if (size + 1 >= capacity) {
			char *grown;

			capacity = capacity ? 2 * capacity : 4096;
			grown = realloc(text, capacity);
			if (!grown)
				return -ENOMEM;
			text = grown;
		}
		n = read(fd, text + size, capacity - size - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		size += (size_t)n;
		if (size > max)
			return -EFBIG;
	}
	text[size] = '\0';
	*ret = TAKE_PTR(text);
	*ret_size = size;
	return 0;
}

char *file_text(const char *path)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text = NULL;
	size_t n;

	return fd >= 0 && read_all(fd, FILE_SIZE_MAX, &text, &n) == 0 ? text : NULL;
}
