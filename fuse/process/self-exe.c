/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/process/self-exe.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int program_path(const char *name, char ret[static PATH_MAX])
{
	size_t length = strlen(name) + 1;
	ssize_t n = readlink("/proc/self/exe", ret, PATH_MAX - length);
	char *slash;

	if (n < 0)
		return -errno;
	ret[n] = '\0';
	slash = strrchr(ret, '/');
	memcpy(slash ? slash + 1 : ret, name, length);
	return 0;
}
