/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/source/layer-path.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuse/base/text.h"
#include "layerindex/cleanup.h"

bool is_descriptor_path(const char *path)
{
	/* As hardly one of hundreds of layers begins. */
	if (path[0] != '/' || (path[1] != 'p' && path[1] != 'd'))
		return false;
	return strncmp(path, "/proc/self/", 11) == 0 ||
	       strncmp(path, "/proc/thread-self/", 18) == 0 || strncmp(path, "/dev/fd/", 8) == 0;
}

int descriptor_of_path(const char *path)
{
	static const char places[][24] = {"/proc/self/fd/", "/proc/thread-self/fd/", "/dev/fd/"};

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		size_t n = strlen(places[i]);
		uint64_t fd;

		if (strncmp(path, places[i], n) == 0)
			return parse_uint(path + n, 10, INT_MAX, &fd) < 0 ? -1 : (int)fd;
	}
	return -1;
}

char *layer_path(const char *path)
{
	cleanup_free char *absolute = realpath(path, NULL);
	struct stat wanted, found;

	if (!absolute || stat(path, &wanted) < 0)
		return NULL;
	if (stat(absolute, &found) == 0 && found.st_dev == wanted.st_dev &&
	    found.st_ino == wanted.st_ino)
		return TAKE_PTR(absolute);
	/* Through another process's root, which realpath(3) takes for ours. */
	if (*path == '/' && !is_descriptor_path(path))
		return strdup(path);
	errno = ENOENT;
	return NULL;
}
