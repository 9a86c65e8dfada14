/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/process/daemonize.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int daemonize_detach(void)
{
	int null;

	close(STDIN_FILENO);
	/* The lowest number that is free. */
	null = openat(AT_FDCWD, "/dev/null", O_RDWR);
	if (null < 0)
		return -errno;
	return chdir("/") < 0 ? -errno : 0;
}

void daemonize_silence(bool keep_stderr)
{
	dup2(STDIN_FILENO, STDOUT_FILENO);
	if (!keep_stderr)
		dup2(STDIN_FILENO, STDERR_FILENO);
}
