/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/syslog.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "layerindex/cleanup.h"

/*
 * One for each line, and none in between: the log's reader may be restarted, and a view that serves
 * keeps no such descriptor. Returns: a descriptor, or -errno.
 */
static int connect_log(int type)
{
	static const struct sockaddr_un log = {.sun_family = AF_UNIX, .sun_path = _PATH_LOG};
	cleanup_close int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&log, sizeof(log)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

bool syslog_send(const char *program, int priority, const char *line)
{
	char head[64];
	int length = snprintf(head, sizeof(head), "<%d>%.32s[%d]: ", LOG_DAEMON | priority, program,
			      getpid());
	/* A reader of a stream expects a NUL at the end of a line. */
	struct iovec parts[] = {
		{head, (size_t)length}, {(void *)(uintptr_t)line, strlen(line)}, {(char[]){""}, 1}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	cleanup_close int fd = connect_log(SOCK_DGRAM);

	if (fd == -EPROTOTYPE) {
		fd = connect_log(SOCK_STREAM);
		message.msg_iovlen = 3;
	}
	return fd >= 0 && sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}
