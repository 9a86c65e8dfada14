/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/process/write-until.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/base/clock.h"
#include "fuse/process/pass-fd.h"
#include "layerindex/cleanup.h"
#include "layerindex/file/whole.h"

/* Not in musl's headers. */
#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif

/* Waits for *events* on *fd*. Returns: 0, -ETIMEDOUT, -EINTR or -errno. */
static int wait_for(int fd, short events, int interrupt, uint64_t deadline_us)
{
	struct pollfd fds[] = {{.fd = fd, .events = events}, {.fd = interrupt, .events = POLLIN}};

	for (;;) {
		uint64_t now = now_us();
		/* Rounded up: not to come back a moment too early, again and again. */
		int ms = now < deadline_us ? (int)((deadline_us - now) / 1000 + 1) : 0;
		int n = poll(fds, 2, ms);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && fds[1].revents)
			return -EINTR;
		if (n > 0)
			return 0;
		if (ms == 0)
			return -ETIMEDOUT;
	}
}

/* Writes what there is room for, without waiting. Returns: bytes or -errno. */
static ssize_t write_now(int fd, bool is_socket, char *text, size_t n)
{
	struct iovec part = {text, n};
	ssize_t written;

	if (is_socket) {
		written = send(fd, text, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		return written < 0 ? -errno : written;
	}
	written = syscall(SYS_pwritev2, fd, &part, 1L, -1L, -1L, RWF_NOWAIT);
	if (written >= 0 || errno != EOPNOTSUPP)
		return written < 0 ? -errno : written;
	/* An older kernel. A pipe that has room at all has it for so much. */
	written = write(fd, text, n < PIPE_BUF ? n : PIPE_BUF);
	return written < 0 ? -errno : written;
}

static int write_stream(int fd, bool is_socket, char *text, size_t n, int passed, int interrupt,
			uint64_t deadline_us)
{
	while (n > 0) {
		int r = wait_for(fd, POLLOUT, interrupt, deadline_us);
		ssize_t written;

		if (r < 0)
			return r;
		written = passed >= 0 ? pass_fd_send(fd, text, n, passed)
				      : write_now(fd, is_socket, text, n);
		if (written == -EAGAIN || written == -EINTR)
			continue;
		if (written < 0)
			return (int)written;
		passed = -1;
		text += written;
		n -= (size_t)written;
	}
	return 0;
}

static int write_by_child(int fd, char *text, size_t n, int interrupt, uint64_t deadline_us)
{
	/* Without the C library's preparations, which a shared heap may not bear. */
	pid_t pid = _Fork();
	cleanup_close int end = -EBADF;
	int status, r;

	if (pid == 0)
		_exit(-write_whole(fd, text, n));
	if (pid < 0)
		return -errno;
	end = pidfd_open(pid, 0);
	r = end < 0 ? -errno : wait_for(end, POLLIN, interrupt, deadline_us);
	if (r < 0) {
		/* Where not even that reaches it, nothing waits for it. */
		kill(pid, SIGKILL);
		return r;
	}
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

int write_until(int fd, char *text, size_t n, int passed, int interrupt, uint64_t deadline_us)
{
	struct statx stx = {.stx_mode = S_IFIFO};

	/* Without asking its filesystem, which may not answer. */
	(void)statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &stx);
	if (S_ISFIFO(stx.stx_mode) || S_ISSOCK(stx.stx_mode))
		return write_stream(fd, S_ISSOCK(stx.stx_mode), text, n, passed, interrupt,
				    deadline_us);
	return write_by_child(fd, text, n, interrupt, deadline_us);
}
