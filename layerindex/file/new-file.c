/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/file/new-file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "layerindex/descriptor.h"

static const char prefix[] = ".new-";

int new_file_name(char ret[static NEW_FILE_NAME + 1])
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) < 0)
		return -errno;
	snprintf(ret, NEW_FILE_NAME + 1, "%s%016" PRIx64, prefix, number);
	return 0;
}

bool new_file_is_temporary(const char *name)
{
	return strlen(name) == NEW_FILE_NAME && strncmp(name, prefix, strlen(prefix)) == 0 &&
	       strspn(name + strlen(prefix), "0123456789abcdef") == 16;
}

int new_file_link(int fd, int at, const char *name, bool replace)
{
	char path[DESCRIPTOR_PATH], temporary[NEW_FILE_NAME + 1];
	int r;

	descriptor_path(fd, path);
	if (linkat(AT_FDCWD, path, at, name, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	if (errno != EEXIST || !replace)
		return -errno;
	r = new_file_name(temporary);
	if (r < 0)
		return r;
	if (linkat(AT_FDCWD, path, at, temporary, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	if (renameat(at, temporary, at, name) < 0) {
		r = -errno;
		unlinkat(at, temporary, 0);
		return r;
	}
	return 0;
}
