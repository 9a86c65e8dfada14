/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/file/whole.h"

#include <errno.h>
#include <stdint.h>
#include <sys/uio.h>
#include <unistd.h>

int read_whole(int fd, void *ret, size_t n)
{
	char *at = ret;

	while (n > 0) {
		ssize_t some = read(fd, at, n);

		if (some < 0 && errno == EINTR)
			continue;
		if (some <= 0)
			return some < 0 ? -errno : -EPIPE;
		at += some;
		n -= (size_t)some;
	}
	return 0;
}

int write_whole(int fd, const void *bytes, size_t n)
{
	while (n > 0) {
		struct iovec piece = {(void *)(uintptr_t)bytes, n};
		ssize_t r = writev(fd, &piece, 1);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? -errno : -EIO;
		bytes = (const char *)bytes + r;
		n -= (size_t)r;
	}
	return 0;
}
