/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view is made in a process of its own, for two reasons: a layer on a dead filesystem may hold a
 * process without end while the caller waits; and the caller must return when the view is ready,
 * and not before.
 */
#include "fuse/serve/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/mount/mountpoint.h"
#include "fuse/process/spawn.h"
#include "fuse/serve/ready-line.h"
#include "fuse/serve/server.h"
#include "fuse/serve/supervisor.h"

/* Writes one line into --ready-fd. */
static void tell_ready_fd(int ready_fd, char *line, size_t n)
{
	if (ready_fd < 0)
		return;
	line[n++] = '\n';
	while (n > 0) {
		ssize_t written = write(ready_fd, line, n);

		if (written < 0)
			break;
		line += written;
		n -= (size_t)written;
	}
	close(ready_fd);
}

/*
 * At which level a failure is logged. The caller falls back quietly where no view is applicable,
 * and reads the reason in the ready line. A person reads it on stderr alone.
 */
static enum log_level failure_level(int ready_fd, enum view_code code)
{
	bool quiet = ready_fd >= 0 || log_is_json();

	return code == CODE_ENOTAPPLICABLE && quiet ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR;
}

__attribute__((noinline)) int launch_failed(int ready_fd, const struct view_error *error)
{
	char line[FAILURE_LINE_SIZE + 1];

	signal(SIGPIPE, SIG_IGN);
	report_failure_line(line, error);
	log_to_stderr();
	log_message(failure_level(ready_fd, error->code), "%s", error->message);
	tell_ready_fd(ready_fd, line, strlen(line));
	return view_code_exit(error->code);
}

/*
 * Signals that end the call: they are read, not taken. What the caller made of the others that
 * count is undone: a view must end on SIGTERM, and its launcher must see it end.
 * Returns: a descriptor, or -errno.
 */
static int block_signals(void)
{
	sigset_t set;
	int fd;

	signal(SIGTERM, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* What the server's process needs to know. */
struct start {
	struct server_call call;
	pid_t launcher;
};

static int run_server(void *argument)
{
	struct start *start = argument;
	sigset_t none;

	/* A caller that is killed while it waits wants no view. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != start->launcher)
		return 0;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	return server_run(&start->call);
}

/* Why a server ended that reported no error. */
static const char *death(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return "its status is unknown";
	return WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "no error was reported";
}

/* The mount that a server which is no more may have made. */
static void remove_mount(const struct server_call *call)
{
	if (call->progress->mounting)
		mountpoint_detach_if_dead(call->view.mountpoint);
}

/* Ends a server that is not ready, and its mount. It may not even die. */
static void abandon(pid_t pid, const struct server_call *call)
{
	kill(pid, SIGKILL);
	for (int i = 0; i < 100 && waitpid(pid, NULL, WNOHANG) == 0; i++)
		poll(NULL, 0, 1);
	remove_mount(call);
}

/* Waits for the server's word. Returns: 0, or < 0 with *error*. */
static int wait_ready(const struct server_call *call, pid_t pid, int report_fd, int signals,
		      struct report *ret, struct view_error *error)
{
	unsigned timeout = call->view.options->timeout;
	uint64_t deadline_us = call->view.start_us + timeout * UINT64_C(1000000);
	int r = report_receive(report_fd, signals, deadline_us, ret);

	switch (r) {
	case 0:
		if (ret->code == CODE_NONE)
			return 0;
		/* It is at its end; its memory, if it was shared, is ours alone then. */
		waitpid(pid, NULL, 0);
		return view_fail(error, ret->code, "%s", ret->text);
	case -EPIPE:
		view_fail(error, MSG_SERVER_DIED, death(pid));
		remove_mount(call);
		return -ECANCELED;
	case -ETIMEDOUT: view_fail(error, MSG_TIMEOUT, timeout); break;
	case -EINTR: view_fail(error, MSG_INTERRUPTED); break;
	default: view_fail(error, MSG_SYSTEM, "waiting for the view", strerror(-r));
	}
	abandon(pid, call);
	return -ECANCELED;
}

/* A supervisor stays beside the view: the two processes share nothing. */
static bool has_supervisor(const struct launch_call *call)
{
	return call->view.foreground || call->lifeline >= 0;
}

int launch(const struct launch_call *call, struct view_error *error)
{
	bool share = spawn_can_share() && !has_supervisor(call);
	struct start start = {
		.call.view = call->view,
		.call.argv_top = share ? program_invocation_name : NULL,
		.launcher = getpid(),
	};
	cleanup_close int signals = block_signals();
	static struct report report;
	struct progress *progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int ends[2];
	pid_t pid;

	if (progress == MAP_FAILED) {
		view_fail(error, MSG_NO_MEMORY);
		return launch_failed(call->ready_fd, error);
	}
	if (signals < 0 || pipe2(ends, O_CLOEXEC) < 0) {
		view_fail(error, MSG_SYSTEM, "pipe", strerror(errno));
		return launch_failed(call->ready_fd, error);
	}
	start.call.report_fd = ends[1];
	start.call.progress = progress;
	pid = spawn(run_server, &start, share);
	close(ends[1]);
	if (pid < 0) {
		view_fail(error, MSG_SYSTEM, "fork", strerror(-pid));
		return launch_failed(call->ready_fd, error);
	}
	/* From here on the server may be using this process's memory: see spawn(). */
	if (wait_ready(&start.call, pid, ends[0], signals, &report, error) < 0)
		_exit(launch_failed(call->ready_fd, error));
	tell_ready_fd(call->ready_fd, report.text, strlen(report.text));
	if (!has_supervisor(call))
		_exit(0);
	close(ends[0]);
	return supervise(call->view.mountpoint, call->lifeline, call->view.foreground,
			 progress->served_by ? progress->served_by : pid, signals);
}
