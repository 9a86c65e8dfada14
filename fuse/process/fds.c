/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/process/fds.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include "fuse/base/text.h"

/* The lowest of the descriptors to keep from *first* on; INT_MAX: none. */
static int next_kept(const int *keep, size_t n, int first)
{
	int lowest = INT_MAX;

	for (size_t i = 0; i < n; i++)
		if (keep[i] >= first && keep[i] < lowest)
			lowest = keep[i];
	return lowest;
}

/* What close_range(2) does, where there is none or a filter does not know it. */
static int close_listed(int first, int last)
{
	DIR *list = opendir("/proc/self/fd");
	struct dirent *entry;

	if (!list)
		return -errno;
	while ((entry = readdir(list))) {
		uint64_t fd;

		if (parse_uint(entry->d_name, 10, INT_MAX, &fd) < 0 || (int)fd == dirfd(list))
			continue;
		if ((int)fd >= first && (int)fd <= last)
			close((int)fd);
	}
	closedir(list);
	return 0;
}

int fds_close(int first, const int *keep, size_t n)
{
	int r = 0;

	while (first < INT_MAX) {
		int kept = next_kept(keep, n, first);

		if (r == 0 && kept > first &&
		    close_range((unsigned)first, (unsigned)kept - 1, 0) < 0)
			r = close_listed(first, kept - 1);
		first = kept < INT_MAX ? kept + 1 : INT_MAX;
	}
	return r;
}

int fds_fill_stdio(void)
{
	struct pollfd fds[] = {{.fd = STDIN_FILENO}, {.fd = STDOUT_FILENO}, {.fd = STDERR_FILENO}};

	/* By one call, nearly always. */
	if (poll(fds, sizeof(fds) / sizeof(*fds), 0) == 0)
		return 0;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		/* The lowest number that is free is this one. */
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR | O_NOCTTY) < 0)
			return -errno;
	return 0;
}
