/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/process/pass-fd.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* A control message with one descriptor. */
union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static int read_option(int fd, int name, int *ret)
{
	socklen_t size = sizeof(*ret);

	return getsockopt(fd, SOL_SOCKET, name, ret, &size) < 0 ? -errno : 0;
}

int pass_fd_check(int fd)
{
	int domain = 0, type = 0;
	int r = read_option(fd, SO_DOMAIN, &domain);

	if (r == 0)
		r = read_option(fd, SO_TYPE, &type);
	if (r < 0)
		return r;
	return domain == AF_UNIX && (type == SOCK_STREAM || type == SOCK_SEQPACKET) ? 0
										    : -EPROTOTYPE;
}

ssize_t pass_fd_send(int fd, char *text, size_t n, int passed)
{
	struct iovec part = {text, n};
	union control control = {
		.header =
			{
				.cmsg_len = CMSG_LEN(sizeof(int)),
				.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_RIGHTS,
			},
	};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t sent;

	memcpy(CMSG_DATA(&control.header), &passed, sizeof(passed));
	sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	return sent < 0 ? -errno : sent;
}

int pass_fd_receive(int fd)
{
	union control control = {};
	char byte;
	struct iovec part = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	const struct cmsghdr *header;
	int passed;

	if (recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
	    header->cmsg_len != CMSG_LEN(sizeof(passed)))
		return -ENOMSG;
	memcpy(&passed, CMSG_DATA(header), sizeof(passed));
	return passed;
}
