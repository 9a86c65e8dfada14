/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/serve/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/live/reuse.h"
#include "fuse/live/view-process.h"
#include "fuse/mount/mount-identity.h"
#include "fuse/process/daemonize.h"
#include "fuse/process/fds.h"
#include "fuse/process/inherited.h"
#include "fuse/process/pass-fd.h"
#include "fuse/process/sandbox.h"
#include "fuse/process/spawn.h"
#include "fuse/serve/ready-line.h"
#include "fuse/serve/takeover.h"
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
	int upgrades;	 /* where upgrades of the view come from; owned, or -EBADF */
	int offered;	 /* the other end, which an upgrade copies; owned, or -EBADF */
	int program;	 /* of an upgrade whose other half is on its way; owned, or -EBADF */
	pid_t successor; /* the process of an upgrade that will be the server; 0: none */
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

/* The found one's process has ended. Another one may have taken the view over. */
static enum event found_ended(struct watch *watch)
{
	const struct progress *progress = watch->supervision->progress;
	cleanup_close int root = mount_open(&progress->mount, progress->mountpoint);
	pid_t pid = root < 0 ? 0 : reuse_process(root, progress->mount.device);
	int next = pid ? view_process_open(pid, progress->mount.device) : -ESRCH;

	if (next < 0)
		return VIEW_ENDED;
	close(watch->found);
	watch->found = next;
	return NOTHING;
}

/* A child has ended, or more than one. */
static enum event reap(struct watch *watch)
{
	if (watch->successor && waitpid(watch->successor, NULL, WNOHANG) == watch->successor)
		watch->successor = 0;
	if (!watch->server || waitpid(watch->server, &watch->status, WNOHANG) != watch->server)
		return NOTHING;
	if (watch->successor) {
		watch->server = watch->successor;
		watch->successor = 0;
		return NOTHING;
	}
	return server_ended(watch);
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
	return reap(watch);
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

/* Ends a successor that does not serve yet. */
static void end_successor(const struct watch *watch)
{
	if (watch->successor)
		kill(watch->successor, SIGKILL);
}

/* What a successor is started with. */
struct start {
	int program, socket;
};

static int run_successor(void *argument)
{
	const struct start *start = argument;

	takeover_exec(start->program, start->socket);
	return KILLED_STATUS;
}

/* A part of an upgrade: see takeover.h. */
static enum event on_upgrade(struct watch *watch)
{
	cleanup_close int fd = pass_fd_receive(watch->upgrades);
	cleanup_close int program = -EBADF;

	if (fd < 0 || watch->program < 0) {
		watch->program = close_keep_errno(watch->program);
		/* That one is alone. */
		end_successor(watch);
		watch->program = fd < 0 ? -EBADF : TAKE_FD(fd);
		return NOTHING;
	}
	program = TAKE_FD(watch->program);
	if (!watch->server || watch->successor)
		return NOTHING;
	watch->successor = spawn_program(run_successor, &(struct start){program, fd});
	watch->successor = watch->successor < 0 ? 0 : watch->successor;
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
		{.fd = watch->upgrades, .events = POLLIN},
	};

	if (poll(fds, 6, -1) < 0)
		return errno == EINTR ? NOTHING : END_VIEW;
	/* First, for a server that ends says why. */
	if (fds[4].revents) {
		watch->log = log_relay(watch->log) > 0 ? watch->log : -1;
		return NOTHING;
	}
	if (fds[0].revents)
		return on_signal(watch);
	if (fds[3].revents)
		return found_ended(watch);
	if (fds[2].revents)
		return on_caller(watch);
	if (fds[1].revents)
		return on_lifeline(watch);
	return fds[5].revents ? on_upgrade(watch) : NOTHING;
}

/* Ends the server at once: what hangs cannot keep it. It may not even die. */
static void end_server(struct watch *watch)
{
	end_successor(watch);
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
	close_keep_errno(watch->upgrades);
	close_keep_errno(watch->offered);
	close_keep_errno(watch->program);
}
DEFINE_CLEANUP(struct watch, watch_done)

/* Lets upgrades in. Without memory there are none. */
static void offer_upgrades(struct watch *watch)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return;
	watch->upgrades = ends[0];
	watch->offered = ends[1];
	send(watch->upgrades, SUPERVISOR_GREETING, sizeof(SUPERVISOR_GREETING), MSG_DONTWAIT);
}

int supervise(const struct supervision *supervision, pid_t server)
{
	cleanup_with(watch_done) struct watch watch = {
		.supervision = supervision,
		.caller = supervision->caller,
		.log = supervision->log,
		.server = server,
		.found = -EBADF,
		.upgrades = -EBADF,
		.offered = -EBADF,
		.program = -EBADF,
		.why = "unmounted",
	};
	enum event event;

	offer_upgrades(&watch);
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
