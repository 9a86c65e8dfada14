/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/process/daemonize.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "layerindex/cleanup.h"

int daemonize_detach(bool keep_stderr)
{
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* Opened as one of the three: they were closed, and now that one is done. */
	if (null >= 0 && null <= STDERR_FILENO)
		null = fcntl(null, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (null < 0)
		return -errno;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO - keep_stderr; fd++)
		if (dup2(null, fd) < 0)
			return -errno;
	return chdir("/") < 0 ? -errno : 0;
}
