/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ctl/timed.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fuse/base/clock.h"
#include "fuse/base/messages.h"
#include "fuse/process/run-with-timeout.h"
#include "layerindex/cleanup.h"

/* What both processes see. */
struct outcome {
	int r;
	struct view_error error;
};

struct work {
	int (*run)(void *argument, struct view_error *error);
	void *argument;
	struct outcome *outcome; /* owned */
	pid_t caller;
	/* A copy of stdin, and the pipes of stdout and stderr; all above stdio; owned. */
	int in, out[2], err[2];
};

static void work_done(struct work *work)
{
	if (work->outcome != MAP_FAILED)
		munmap(work->outcome, sizeof(*work->outcome));
	close_keep_errno(work->in);
	for (int i = 0; i < 2; i++) {
		close_keep_errno(work->out[i]);
		close_keep_errno(work->err[i]);
	}
}
DEFINE_CLEANUP(struct work, work_done)

/* Returns: the process's exit status. */
static int run_work(void *argument)
{
	struct work *work = argument;

	/* A command that is killed leaves no process that waits for a layer. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != work->caller)
		return RUN_WITH_TIMEOUT_FAILED;
	if ((work->in >= 0 && dup2(work->in, STDIN_FILENO) < 0) ||
	    dup2(work->out[1], STDOUT_FILENO) < 0 || dup2(work->err[1], STDERR_FILENO) < 0)
		return RUN_WITH_TIMEOUT_FAILED;
	work->outcome->r = work->run(work->argument, &work->outcome->error);
	return fflush(stdout) == 0 ? 0 : RUN_WITH_TIMEOUT_FAILED;
}

/*
 * Prints what there is in a pipe. *failed* keeps errno of the first write that failed, or 0.
 * Returns: whether more may come.
 */
static bool relay(int pipe, FILE *stream, int *failed)
{
	char bytes[4096];
	ssize_t n = read(pipe, bytes, sizeof(bytes));

	if (n > 0 && (fwrite(bytes, 1, (size_t)n, stream) != (size_t)n || fflush(stream) != 0) &&
	    *failed == 0)
		*failed = errno;
	return n > 0 || (n < 0 && errno == EINTR);
}

/* What was printed by a child. */
struct relayed {
	bool something; /* to stdout */
	int failed;	/* errno of writing to stdout, or 0 */
};

/* Prints what the child prints, until it ends. */
static struct relayed relay_all(const struct work *work, uint64_t deadline_us)
{
	struct pollfd pipes[] = {
		{.fd = work->out[0], .events = POLLIN},
		{.fd = work->err[0], .events = POLLIN},
	};
	uint64_t now = now_us();
	struct relayed relayed = {};
	int ignored = 0;

	while ((pipes[0].fd >= 0 || pipes[1].fd >= 0) && now < deadline_us) {
		int n = poll(pipes, 2, (int)((deadline_us - now) / 1000 + 1));

		now = now_us();
		if (n <= 0)
			continue;
		if (pipes[0].revents && relay(pipes[0].fd, stdout, &relayed.failed))
			relayed.something = true;
		else if (pipes[0].revents)
			pipes[0].fd = -1;
		if (pipes[1].revents && !relay(pipes[1].fd, stderr, &ignored))
			pipes[1].fd = -1;
	}
	return relayed;
}

/* Runs the work in a child. Returns: 0 or -errno. */
static int run_child(struct work *work, const int *keep, size_t n, uint64_t deadline_us,
		     struct relayed *ret)
{
	const int own[] = {work->in, work->out[1], work->err[1]};
	const size_t own_count = sizeof(own) / sizeof(*own);
	cleanup_free int *kept = calloc(n + own_count, sizeof(*kept));
	pid_t pid;

	if (!kept)
		return -ENOMEM;
	memcpy(kept, own, sizeof(own));
	if (n > 0)
		memcpy(kept + own_count, keep, n * sizeof(*kept));
	fflush(NULL);
	pid = run_apart(run_work, work, kept, n + own_count);
	work->out[1] = close_keep_errno(work->out[1]);
	work->err[1] = close_keep_errno(work->err[1]);
	if (pid < 0)
		return pid;
	*ret = relay_all(work, deadline_us);
	return run_with_timeout_finish(pid, deadline_us);
}

int ctl_run_timed(int (*run)(void *argument, struct view_error *error), void *argument,
		  const int *keep, size_t n, const struct time_limit *limit, bool *ret_printed,
		  struct view_error *error)
{
	uint64_t deadline_us = time_limit_us(limit);
	cleanup_with(work_done) struct work work = {
		.run = run,
		.argument = argument,
		.outcome = mmap(NULL, sizeof(*work.outcome), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0),
		.caller = getpid(),
		.in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1),
		.out = {-EBADF, -EBADF},
		.err = {-EBADF, -EBADF},
	};
	struct relayed relayed = {};
	int r;

	*ret_printed = false;
	if (work.outcome == MAP_FAILED || pipe2(work.out, O_CLOEXEC) < 0 ||
	    pipe2(work.err, O_CLOEXEC) < 0)
		return view_fail(error, MSG_SYSTEM, "pipe", strerror(errno));
	r = run_child(&work, keep, n, deadline_us, &relayed);
	*ret_printed = relayed.something;
	if (r == -ETIMEDOUT)
		return view_fail(error, MSG_NOT_DONE, limit->seconds);
	if (r < 0)
		return view_fail(error, MSG_SYSTEM, "looking at the files",
				 r == -ECANCELED ? "the process died" : strerror(-r));
	if (work.outcome->r < 0)
		return view_fail(error, work.outcome->error.code, "%s",
				 work.outcome->error.message);
	if (work.outcome->r == 0 && relayed.failed)
		return view_fail(error, MSG_SYSTEM, "stdout", strerror(relayed.failed));
	return work.outcome->r;
}
