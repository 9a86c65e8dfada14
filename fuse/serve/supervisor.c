/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/serve/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/live/view-process.h"
#include "fuse/process/daemonize.h"
#include "fuse/process/fds.h"
#include "fuse/process/inherited.h"
#include "fuse/process/sandbox.h"
#include "fuse/process/spawn.h"
#include "fuse/serve/ready-line.h"
#include "layerindex/cleanup.h"

enum {
	END_MS = 1000,	     /* for a server to end that was killed */
	LIFELINE_READS = 16, /* of what is written into a lifeline, at a time */
};

struct watch {
	const struct supervision *supervision;
	int signals;	 /* owned */
	int caller;	 /* -1: the call has succeeded */
	pid_t server;	 /* 0: it was reaped */
	int status;	 /* of the server then */
	int log;	 /* the supervision's, or -1 after its end */
	int found;	 /* a pidfd of another call's server; owned, -EBADF: none */
	const char *why; /* the view ended, or is ended */
};

enum event { NOTHING, VIEW_ENDED, END_VIEW };

/* The server has ended: the view too, unless it is another call's. */
static enum event server_ended(struct watch *watch)
{
	const struct progress *progress = watch->supervision->progress;

	watch->server = 0;
	if (!progress->found)
		return VIEW_ENDED;
	watch->found = view_process_open(progress->served_by, progress->mount.device);
	/* A view that cannot be watched is ended: its holder would never be able to. */
	if (watch->found >= 0)
		return NOTHING;
	watch->why = "the process that serves it cannot be watched";
	return END_VIEW;
}

static enum event on_signal(struct watch *watch)
{
	int number = signals_read(watch->supervision->signals);

	if (number == 0)
		return NOTHING;
	if (number != SIGCHLD) {
		watch->why = "a signal to this process";
		return END_VIEW;
	}
	if (!watch->server || waitpid(watch->server, &watch->status, WNOHANG) != watch->server)
		return NOTHING;
	return server_ended(watch);
}

bool lifeline_is_closed(int fd)
{
	struct pollfd line = {.fd = fd, .events = POLLIN};
	char bytes[256];

	/* A process that writes without end does not keep the others waiting. */
	for (int i = 0; i < LIFELINE_READS && poll(&line, 1, 0) > 0; i++)
		if (!(line.revents & POLLIN) || read(fd, bytes, sizeof(bytes)) <= 0)
			return true;
	return false;
}

static enum event on_lifeline(struct watch *watch)
{
	if (!lifeline_is_closed(watch->supervision->lifeline))
		return NOTHING;
	watch->why = "the lifeline closed";
	return END_VIEW;
}

/* A byte says that the call has succeeded; without one its process was killed, or has failed. */
static enum event on_caller(struct watch *watch)
{
	char byte;

	if (read(watch->caller, &byte, 1) != 1)
		return END_VIEW;
	watch->caller = -1;
	return NOTHING;
}

static enum event wait_event(struct watch *watch)
{
	struct pollfd fds[] = {
		{.fd = watch->supervision->signals, .events = POLLIN},
		{.fd = watch->supervision->lifeline, .events = POLLIN},
		{.fd = watch->caller, .events = POLLIN},
		{.fd = watch->found, .events = POLLIN},
		{.fd = watch->log, .events = POLLIN},
	};

	if (poll(fds, 5, -1) < 0)
		return errno == EINTR ? NOTHING : END_VIEW;
	/* First, for a server that ends says why. */
	if (fds[4].revents) {
		watch->log = log_relay(watch->log) > 0 ? watch->log : -1;
		return NOTHING;
	}
	if (fds[0].revents)
		return on_signal(watch);
	if (fds[3].revents)
		return VIEW_ENDED;
	if (fds[2].revents)
		return on_caller(watch);
	return fds[1].revents ? on_lifeline(watch) : NOTHING;
}

/* Ends the server at once: what hangs cannot keep it. It may not even die. */
static void end_server(struct watch *watch)
{
	kill(watch->server, SIGKILL);
	for (int ms = 0; ms < END_MS; ms++) {
		if (waitpid(watch->server, NULL, WNOHANG) != 0)
			return;
		poll(NULL, 0, 1);
	}
}

static void end_view(struct watch *watch)
{
	int r;

	if (watch->server)
		end_server(watch);
	if (!watch->supervision->progress->mount.id)
		return;
	r = progress_end_view(watch->supervision->progress);
	/* Out of sight, or fusectl out of reach: by its process, which was looked at. */
	if (r < 0 && watch->found >= 0)
		pidfd_send_signal(watch->found, SIGTERM, NULL, 0);
}

/* The status as a shell tells it: KILLED_STATUS and the number, where a signal ended the server. */
static int shell_status(int status)
{
	return WIFSIGNALED(status) ? KILLED_STATUS + WTERMSIG(status) : WEXITSTATUS(status);
}

/* A call that has not succeeded reports its failure instead. */
static void log_ended(const struct watch *watch)
{
	if (watch->caller < 0)
		log_info("view on '%s' ended: %s", watch->supervision->progress->mountpoint,
			 watch->why);
}

/* What a server that ended early has left is removed. Returns: the exit status. */
static int view_ended(struct watch *watch)
{
	const struct progress *progress = watch->supervision->progress;
	int status = shell_status(watch->status);

	/* It may be one that stood by, whose child serves on. */
	if (watch->found >= 0)
		progress_end_view(progress);
	if (watch->found >= 0 || status == 0) {
		log_ended(watch);
		return 0;
	}
	progress_undo(progress, progress->mountpoint, true);
	if (watch->caller >= 0)
		return status;
	/* TERM is how a view is asked to end. */
	if (status == KILLED_STATUS + SIGTERM) {
		watch->why = "its process was terminated";
		log_ended(watch);
		return 0;
	}
	if (status > KILLED_STATUS)
		log_error("the view's process ended: %s", strsignal(status - KILLED_STATUS));
	return view_code_exit(CODE_ESYSTEM);
}

static void watch_done(struct watch *watch)
{
	close_keep_errno(watch->found);
}
DEFINE_CLEANUP(struct watch, watch_done)

int supervise(const struct supervision *supervision, pid_t server)
{
	cleanup_with(watch_done) struct watch watch = {
		.supervision = supervision,
		.caller = supervision->caller,
		.log = supervision->log,
		.server = server,
		.found = -EBADF,
		.why = "unmounted",
	};
	enum event event;

	do
		event = wait_event(&watch);
	while (event == NOTHING);
	if (event == VIEW_ENDED)
		return view_ended(&watch);
	end_view(&watch);
	log_ended(&watch);
	return watch.caller < 0 ? 0 : RELEASED_STATUS;
}

/*
 * Leaves the caller: its session, only now that the server was started in it, and its descriptors.
 * Returns: 0 or -errno.
 */
static int leave_caller(const struct supervisor_call *call, int signals)
{
	const int kept[] = {signals, call->lifeline, call->caller[0]};
	int r;

	setsid();
	r = fds_close(STDERR_FILENO + 1, kept, 3);
	if (r == 0)
		r = daemonize_detach();
	if (r == 0)
		daemonize_silence(false);
	log_to_syslog();
	return r;
}

/*
 * Neither this process nor the server keeps what the caller reads to its end, not even until it
 * comes to close the rest. Stdio's numbers are replaced later.
 */
static void close_told_fds(struct server_call *call)
{
	for (int i = 0; i < TOLD_FDS; i++) {
		if (call->told_fds[i] > STDERR_FILENO)
			close(call->told_fds[i]);
		call->told_fds[i] = -1;
	}
}

static int fail(const struct supervisor_call *call, int r)
{
	VIEW_ERROR(error);

	view_fail(&error, MSG_NOT_WATCHED, strerror(-r));
	report_send(call->server.report_fd, &error, NULL);
	return view_code_exit(error.code);
}

int supervisor_run(struct supervisor_call *call)
{
	struct supervision supervision = {
		.progress = call->server.progress,
		.signals = signals_open(false, true),
		.lifeline = call->lifeline,
		.caller = call->caller[0],
		.log = -1,
	};
	pid_t server;

	/* The launcher's end: it is closed when that dies. */
	close(call->caller[1]);
	if (supervision.signals < 0)
		return fail(call, supervision.signals);
	call->server.parent = getpid();
	close_told_fds(&call->server);
	server = spawn(server_start, &call->server, false);
	sandbox_early(false);
	if (server < 0)
		return fail(call, server);
	if (leave_caller(call, supervision.signals) < 0) {
		kill(server, SIGKILL);
		return view_code_exit(CODE_ESYSTEM);
	}
	return supervise(&supervision, server);
}

void supervisor_keep(const struct supervisor_call *call)
{
	ssize_t n;

	do
		n = write(call->caller[1], "k", 1);
	while (n < 0 && errno == EINTR);
}
