/* SPDX-License-Identifier: Apache-2.0 */
/* An open descriptor as a path, and as a directory to list. */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "layerindex/cleanup.h"

enum { DESCRIPTOR_PATH = 32 }; /* bytes, with the NUL */

/*
 * Writes the magic link of *fd*, for system calls that take no descriptor: it leads to what is
 * open, whatever that is called by now.
 */
static inline void descriptor_path(int fd, char ret[static DESCRIPTOR_PATH])
{
	snprintf(ret, DESCRIPTOR_PATH, "/proc/self/fd/%d", fd);
}

/* Opens a directory to be listed. Returns: a stream, owned, or NULL with errno. */
static inline DIR *open_directory(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);

	if (!directory)
		close_keep_errno(fd);
	return directory;
}

static inline void close_directory(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}
DEFINE_CLEANUP(DIR *, close_directory)
