/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/process/run-with-timeout.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/base/clock.h"
#include "fuse/process/fds.h"
#include "layerindex/cleanup.h"

static bool let_go_of_everything(const int *keep, size_t n)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (null < 0 || dup2(null, fd) < 0)
			return false;
	fds_close(STDERR_FILENO + 1, keep, n);
	return true;
}

pid_t run_apart(int (*run)(void *argument), void *argument, const int *keep, size_t n)
{
	pid_t pid = fork();

	if (pid == 0) {
		/* A process that waits for the end of a pipe does not wait for this one. */
		if (!let_go_of_everything(keep, n))
			_exit(RUN_WITH_TIMEOUT_FAILED);
		_exit(run(argument));
	}
	return pid < 0 ? -errno : pid;
}

pid_t run_with_timeout_start(int (*run)(void *argument), void *argument)
{
	return run_apart(run, argument, NULL, 0);
}

int wait_child_end(pid_t pid, uint64_t deadline_us)
{
	cleanup_close int pidfd = pidfd_open(pid, 0);
	struct pollfd end = {.fd = pidfd, .events = POLLIN};
	int n;

	if (pidfd < 0)
		return -errno;
	do {
		uint64_t now = now_us();

		n = poll(&end, 1, now < deadline_us ? (int)((deadline_us - now) / 1000 + 1) : 0);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int run_with_timeout_finish(pid_t pid, uint64_t deadline_us)
{
	int r = wait_child_end(pid, deadline_us);
	int status;

	if (r <= 0) {
		/* The signal may not reach the process there; no process waits for it. */
		kill(pid, SIGKILL);
		return r < 0 ? r : -ETIMEDOUT;
	}
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	if (!WIFEXITED(status) || WEXITSTATUS(status) == RUN_WITH_TIMEOUT_FAILED)
		return -ECANCELED;
	return WEXITSTATUS(status);
}

int run_with_timeout(int (*run)(void *argument), void *argument, unsigned seconds)
{
	uint64_t deadline_us = now_us() + seconds * UINT64_C(1000000);
	pid_t pid = run_with_timeout_start(run, argument);

	return pid < 0 ? pid : run_with_timeout_finish(pid, deadline_us);
}
