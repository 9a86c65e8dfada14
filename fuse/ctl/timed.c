/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ctl/timed.h"

#include <errno.h>
#include <fcntl.h>
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
	struct outcome *outcome;
	pid_t caller;
	/* Copies of stdin, and files in memory in place of stdout and stderr; all above them. */
	int in, out, err;
};

/* Returns: the process's exit status. */
static int run_work(void *argument)
{
	struct work *work = argument;

	/* A command that is killed leaves no process that waits for a layer. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != work->caller)
		return RUN_WITH_TIMEOUT_FAILED;
	if ((work->in >= 0 && dup2(work->in, STDIN_FILENO) < 0) ||
	    dup2(work->out, STDOUT_FILENO) < 0 || dup2(work->err, STDERR_FILENO) < 0)
		return RUN_WITH_TIMEOUT_FAILED;
	work->outcome->r = work->run(work->argument, &work->outcome->error);
	return fflush(stdout) == 0 ? 0 : RUN_WITH_TIMEOUT_FAILED;
}

static void print_file(int fd, FILE *stream)
{
	char bytes[4096];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, bytes, sizeof(bytes), at)) > 0) {
		fwrite(bytes, 1, (size_t)n, stream);
		at += n;
	}
}

static int wait_for(const struct work *work, pid_t pid, unsigned seconds, bool *ret_printed,
		    struct view_error *error)
{
	uint64_t deadline_us = now_us() + seconds * UINT64_C(1000000);
	int r = run_with_timeout_finish(pid, deadline_us);

	if (r == -ETIMEDOUT)
		return view_fail(error, MSG_NO_ANSWER, seconds);
	if (r < 0)
		return view_fail(error, MSG_SYSTEM, "reading the layers",
				 r == -ECANCELED ? "the process died" : strerror(-r));
	*ret_printed = true;
	print_file(work->out, stdout);
	print_file(work->err, stderr);
	if (work->outcome->r < 0)
		return view_fail(error, work->outcome->error.code, "%s",
				 work->outcome->error.message);
	return work->outcome->r;
}

/* A file in memory, whose descriptor is above stdio's; or -errno. */
static int new_file(const char *name)
{
	cleanup_close int fd = memfd_create(name, MFD_CLOEXEC);
	int above = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	return above < 0 ? -errno : above;
}

int ctl_run_timed(int (*run)(void *argument, struct view_error *error), void *argument,
		  const int *keep, size_t n, unsigned seconds, bool *ret_printed,
		  struct view_error *error)
{
	cleanup_free int *kept = calloc(n + 3, sizeof(*kept));
	cleanup_close int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	cleanup_close int out = new_file("stdout"), err = new_file("stderr");
	struct work work = {.run = run,
			    .argument = argument,
			    .caller = getpid(),
			    .in = in,
			    .out = out,
			    .err = err};
	pid_t pid;
	int r;

	*ret_printed = false;
	work.outcome = mmap(NULL, sizeof(*work.outcome), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!kept || out < 0 || err < 0 || work.outcome == MAP_FAILED)
		return view_fail(error, MSG_NO_MEMORY);
	memcpy(kept, (int[]){in, out, err}, 3 * sizeof(*kept));
	if (n > 0)
		memcpy(kept + 3, keep, n * sizeof(*kept));
	pid = run_apart(run_work, &work, kept, n + 3);
	r = pid < 0 ? view_fail(error, MSG_SYSTEM, "fork", strerror(-pid))
		    : wait_for(&work, pid, seconds, ret_printed, error);
	munmap(work.outcome, sizeof(*work.outcome));
	return r;
}
