/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view is made in a process of its own, for two reasons: a layer on a dead filesystem may hold a
 * process without end while the caller waits; and the caller must return when the view is ready,
 * and not before. A view with a lifeline has a supervisor between the two.
 */
#include "fuse/serve/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/base/clock.h"
#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/process/inherited.h"
#include "fuse/process/pass-fd.h"
#include "fuse/process/sandbox.h"
#include "fuse/process/spawn.h"
#include "fuse/process/write-until.h"
#include "fuse/serve/ready-line.h"
#include "fuse/serve/supervisor.h"
#include "layerindex/cleanup.h"

enum {
	SERVER_END_MS = 100,	  /* for a server that was killed; it may not even die */
	SUPERVISOR_END_MS = 2000, /* for a supervisor, which ends a server and unmounts */
	FAILURE_US = 200000,	  /* to tell of a failure when the time is over */
	RELAYS_MAX = 64,	  /* of one page each: more than a pipe holds */
};

/*
 * At which level a failure is logged. The caller falls back quietly where no view is applicable,
 * and reads the reason in the ready line. A person reads it on stderr alone.
 */
static enum log_level failure_level(const struct launch_call *call, enum view_code code)
{
	bool quiet = call->ready_fd >= 0 || call->pass_mount >= 0 || log_is_json();

	return code == CODE_ENOTAPPLICABLE && quiet ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR;
}

__attribute__((noinline)) int launch_failed(const struct launch_call *call, uint64_t deadline_us,
					    const struct view_error *error)
{
	uint64_t until_us = now_us() + FAILURE_US;
	char line[FAILURE_LINE_SIZE + 1];
	size_t n;

	if (until_us < deadline_us)
		until_us = deadline_us;
	report_failure_line(line, error);
	n = strlen(line);
	line[n++] = '\n';
	log_to_stderr();
	log_wait_until(until_us);
	log_message(failure_level(call, error->code), "%s", error->message);
	if (call->pass_mount >= 0)
		write_until(call->pass_mount, line, n, -1, -1, until_us);
	if (call->ready_fd >= 0 && call->ready_fd != call->pass_mount)
		write_until(call->ready_fd, line, n, -1, -1, until_us);
	return view_code_exit(error->code);
}

/* A call under way. */
struct launch {
	const struct launch_call *call;
	struct supervisor_call start; /* what its children are told */
	bool shares;		      /* its memory, with the server */
	pid_t child;		      /* the server, or the supervisor that is its parent */
	int report;		      /* where the outcome comes from; owned */
	int log;		      /* where the server's lines come from; owned, never blocks */
	int passed;		      /* where a detached mount comes from; owned, or -EBADF */
	int signals;		      /* that interrupt it; owned */
	int watched;		      /* that end a view in the foreground; owned, or -EBADF */
	uint64_t deadline_us;
};

static bool has_supervisor(const struct launch_call *call)
{
	return !call->foreground && call->lifeline >= 0;
}

/* Waits until the child has ended. Returns: its status, or -ETIMEDOUT. */
static int wait_child(const struct launch *launch, int ms)
{
	int status;

	for (; ms > 0; ms--) {
		if (waitpid(launch->child, &status, WNOHANG) == launch->child)
			return status;
		poll(NULL, 0, 1);
	}
	return -ETIMEDOUT;
}

static int end_ms(const struct launch *launch)
{
	return has_supervisor(launch->call) ? SUPERVISOR_END_MS : SERVER_END_MS;
}

/*
 * From here on what is called takes no memory: where it is shared with a server that was killed,
 * malloc(3) may have been in the middle of something there. Of the C library that is besides what
 * log.c lists: kill, open, pidfd_open, poll, readlink, sigdescr_np, statfs, statx, strcat, umount2,
 * waitpid, _Fork and what execvpe(3) does in a child.
 */
static const char *signal_words(int signal)
{
	/* strsignal(3) has a buffer of its own for signals that it does not know. */
#ifdef __GLIBC__
	const char *words = sigdescr_np(signal);

	return words ? words : "an unknown signal";
#else
	return strsignal(signal);
#endif
}

/* What a server died of that had nothing to say. */
static const char *death(int status)
{
	if (status < 0)
		return "it does not end";
	if (WIFSIGNALED(status))
		return signal_words(WTERMSIG(status));
	if (WIFEXITED(status) && WEXITSTATUS(status) > KILLED_STATUS)
		return signal_words(WEXITSTATUS(status) - KILLED_STATUS);
	return "no error was reported";
}

/* The mount that children which are no more may have made. */
static void undo(const struct launch *launch)
{
	const struct progress *progress = launch->start.server.progress;

	if (!progress->found)
		progress_undo(progress, launch->call->view.mountpoint, !launch->shares);
}

/* Ends a call that failed: a view that another call has made stays. */
static void abandon(struct launch *launch)
{
	if (has_supervisor(launch->call)) {
		/* It ends the view, and then itself. */
		launch->start.caller[1] = close_keep_errno(launch->start.caller[1]);
		if (wait_child(launch, SUPERVISOR_END_MS) >= 0)
			return;
	}
	kill(launch->child, SIGKILL);
	wait_child(launch, SERVER_END_MS);
	undo(launch);
}

/* Returns: < 0 with *error*. */
static int server_died(const struct launch *launch, struct view_error *error)
{
	int status = wait_child(launch, end_ms(launch));

	undo(launch);
	if (status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == RELEASED_STATUS)
		return view_fail(error, MSG_RELEASED, launch->call->lifeline);
	return view_fail(error, MSG_SERVER_DIED, death(status));
}

/* Passes on the lines that the server has written so far. */
static void relay_rest(int log)
{
	for (int i = 0; i < RELAYS_MAX && log_relay(log) > 0; i++)
		;
}

/* Waits for the server's word. Returns: 0, or < 0 with *error*. */
static int wait_ready(struct launch *launch, struct report *ret, struct view_error *error)
{
	int r = report_receive(launch->report, launch->signals, launch->log, launch->deadline_us,
			       ret);

	relay_rest(launch->log);
	switch (r) {
	case 0:
		if (ret->code == CODE_NONE)
			return 0;
		/* It is at its end; its memory, if it was shared, is this process's alone then. */
		wait_child(launch, SUPERVISOR_END_MS);
		return view_fail(error, ret->code, "%s", ret->text);
	case -EPIPE: return server_died(launch, error);
	case -ETIMEDOUT: view_fail(error, MSG_TIMEOUT, launch->call->view.options->timeout); break;
	case -EINTR:
		launch->deadline_us = 0;
		view_fail(error, MSG_INTERRUPTED);
		break;
	default: view_fail(error, MSG_SYSTEM, "waiting for the view", strerror(-r));
	}
	abandon(launch);
	return -ECANCELED;
}

/* The descriptor is the caller's no more. Stdio's numbers stay taken. */
static void close_told(int fd)
{
	int null;

	if (fd > STDERR_FILENO) {
		close(fd);
		return;
	}
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0)
		dup2(null, fd);
	close_keep_errno(null);
}

/*
 * Writes the line and its newline, *n* bytes, into *fd*, if it is one, with the descriptor
 * *passed*, or the call fails. *name*: of the argument. Returns: 0, or < 0 with *error*.
 */
static int tell(struct launch *launch, const char *name, int fd, char *line, size_t n, int passed,
		struct view_error *error)
{
	int r;

	if (fd < 0)
		return 0;
	r = write_until(fd, line, n, passed, launch->signals, launch->deadline_us);
	if (r == 0) {
		close_told(fd);
		return 0;
	}
	/* It does not hold the call any longer, with the failure. */
	launch->deadline_us = 0;
	if (r == -EINTR)
		view_fail(error, MSG_INTERRUPTED);
	else
		view_fail(error, MSG_READY_FD, name, fd,
			  r == -ETIMEDOUT ? "timed out" : strerror(-r));
	abandon(launch);
	return -ECANCELED;
}

/*
 * Tells the caller that the view is ready. Of a detached mount no process of this call keeps a
 * descriptor: it would never end. Returns: 0, or < 0 with *error*.
 */
static int tell_caller(struct launch *launch, struct report *report, struct view_error *error)
{
	const struct launch_call *call = launch->call;
	bool one = call->ready_fd == call->pass_mount;
	size_t n = strlen(report->text);
	cleanup_close int mount = -EBADF;
	int r;

	report->text[n++] = '\n';
	if (call->pass_mount >= 0) {
		mount = pass_fd_receive(launch->passed);
		launch->passed = close_keep_errno(launch->passed);
		if (mount < 0) {
			abandon(launch);
			return view_fail(error, MSG_SYSTEM, "passing the mount", strerror(-mount));
		}
	}
	r = tell(launch, "pass-mount", call->pass_mount, report->text, n, mount, error);
	if (r == 0 && !one)
		r = tell(launch, "ready-fd", call->ready_fd, report->text, n, -1, error);
	return r;
}

/* Returns: 0, or < 0 with errno. */
static int prepare_supervision(struct launch *launch)
{
	struct supervisor_call *start = &launch->start;

	/* Not one of stdio's, over which /dev/null is put. */
	if (launch->call->lifeline >= 0) {
		start->lifeline = fcntl(launch->call->lifeline, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		if (start->lifeline < 0)
			return -1;
	}
	if (has_supervisor(launch->call))
		return pipe2(start->caller, O_CLOEXEC);
	launch->watched = signals_open(true, true);
	return launch->watched;
}

/* Opens what a call needs before it has children. Returns: 0, or < 0 with *error*. */
static int prepare(struct launch *launch, struct view_error *error)
{
	struct supervisor_call *start = &launch->start;
	int ends[2], log[2];

	/* Its end would end all other processes of the namespace. */
	if (getpid() == 1 && !launch->call->foreground)
		return view_fail(error, MSG_PROCESS_1);
	start->server.progress = progress_new(launch->shares);
	if (!start->server.progress)
		return view_fail(error, MSG_NO_MEMORY);
	launch->signals = signals_open(true, false);
	if (launch->signals < 0 || pipe2(ends, O_CLOEXEC) < 0)
		return view_fail(error, MSG_SYSTEM, "pipe", strerror(errno));
	launch->report = ends[0];
	start->server.report_fd = ends[1];
	if (pipe2(log, O_CLOEXEC | O_NONBLOCK) < 0)
		return view_fail(error, MSG_SYSTEM, "pipe", strerror(errno));
	launch->log = log[0];
	start->server.log_fd = log[1];
	start->server.told_fds[0] = launch->call->ready_fd;
	start->server.told_fds[1] = launch->call->pass_mount;
	if (start->server.view.detached) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
			return view_fail(error, MSG_SYSTEM, "socketpair", strerror(errno));
		launch->passed = ends[0];
		start->server.pass_fd = ends[1];
	}
	if (start->server.view.supervised && prepare_supervision(launch) < 0)
		return view_fail(error, MSG_NOT_WATCHED, strerror(errno));
	if (start->lifeline >= 0 && lifeline_is_closed(start->lifeline))
		return view_fail(error, MSG_RELEASED, launch->call->lifeline);
	return 0;
}

static int run_supervisor(void *argument)
{
	return supervisor_run(argument);
}

static int start_child(struct launch *launch, struct view_error *error)
{
	struct supervisor_call *start = &launch->start;

	start->server.parent = getpid();
	if (has_supervisor(launch->call))
		launch->child = spawn(run_supervisor, start, false);
	else
		launch->child = spawn(server_start, &start->server, launch->shares);
	sandbox_early(false);
	close(start->server.report_fd);
	close(start->server.log_fd);
	close_keep_errno(start->server.pass_fd);
	/* A call that stays would keep the layers' mounts busy. */
	layer_fds_close(&start->server.view.from->layer_fds);
	if (launch->child < 0)
		return view_fail(error, MSG_SYSTEM, "fork", strerror(-launch->child));
	if (has_supervisor(launch->call))
		close(start->caller[0]);
	return 0;
}

/* The caller has been told: what is left of the call. Returns: the exit status. */
static int finish(struct launch *launch)
{
	const struct supervision supervision = {
		.progress = launch->start.server.progress,
		.signals = launch->watched,
		.lifeline = launch->start.lifeline,
		.caller = -1,
		.log = launch->log,
	};

	if (launch->call->foreground) {
		close(launch->report);
		return supervise(&supervision, launch->child);
	}
	if (has_supervisor(launch->call))
		supervisor_keep(&launch->start);
	else if (supervision.progress->found)
		/* Of a call that has found its view nothing is left. */
		wait_child(launch, SERVER_END_MS);
	return 0;
}

int launch(const struct launch_call *call, struct view_error *error)
{
	bool supervised = call->foreground || call->lifeline >= 0;
	/* With a supervisor there will be two processes for long, and they share nothing. */
	bool share = spawn_can_share() && !supervised;
	struct launch launch = {
		.call = call,
		.start.server.view = call->view,
		.start.server.argv_top = share ? program_invocation_name : NULL,
		.start.lifeline = -EBADF,
		.start.server.pass_fd = -EBADF,
		.passed = -EBADF,
		.shares = share,
		.watched = -EBADF,
		.deadline_us =
			call->view.start_us + call->view.options->timeout * UINT64_C(1000000),
	};
	static struct report report;

	log_wait_until(launch.deadline_us);
	launch.start.server.view.supervised = supervised;
	launch.start.server.view.detached = call->pass_mount >= 0;
	launch.start.server.view.keep_stderr = call->foreground &&
					       call->ready_fd != STDERR_FILENO &&
					       call->pass_mount != STDERR_FILENO;
	launch.start.server.view.terminal =
		(call->view.from->oci || call->view.from->content) && isatty(STDERR_FILENO);
	if (prepare(&launch, error) < 0 || start_child(&launch, error) < 0)
		return launch_failed(call, launch.deadline_us, error);
	/* From here on the server may be using this process's memory: see spawn(). */
	if (wait_ready(&launch, &report, error) < 0 || tell_caller(&launch, &report, error) < 0)
		_exit(launch_failed(call, launch.deadline_us, error));
	if (launch.shares)
		_exit(finish(&launch));
	return finish(&launch);
}
