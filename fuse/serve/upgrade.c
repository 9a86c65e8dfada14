/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/serve/upgrade.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/base/clock.h"
#include "fuse/base/messages.h"
#include "fuse/base/text.h"
#include "fuse/process/pass-fd.h"
#include "fuse/process/run-with-timeout.h"
#include "fuse/process/spawn.h"
#include "fuse/serve/ready-line.h"
#include "fuse/serve/takeover.h"
#include "fuse/serve/upgrade-place.h"
#include "fuse/serve/upgrade-target.h"

enum {
	SUCCESSORS_MAX = 3, /* that are tried once the old process has ended */
	SERVES_MS = 5000,   /* for one of them to serve */
	END_US = 100000,    /* for one that failed to end */
};

/* The process that takes over. */
struct successor {
	pid_t pid;	/* 0: it is not known yet */
	int socket;	/* to it; owned */
	int supervisor; /* whose child it is; borrowed; -EBADF: it is this process's */
};

#define SUCCESSOR_INIT ((struct successor){.socket = -EBADF, .supervisor = -EBADF})

struct upgrade {
	struct upgrade_target target;
	struct successor successor;
	int program; /* borrowed */
};

static void successor_done(struct successor *successor)
{
	close_keep_errno(successor->socket);
	successor->socket = -EBADF;
}

/*
 * Of a successor that will not serve nothing is left. Its socket is closed last: one that is left
 * alone may serve (TAKEOVER_COMMIT).
 */
static void successor_end(struct successor *successor)
{
	struct pollfd end = {.fd = successor->socket};

	if (successor->supervisor >= 0) {
		send(successor->supervisor, "k", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (successor->socket >= 0)
			poll(&end, 1, END_US / 1000);
	} else if (successor->pid > 0) {
		kill(successor->pid, SIGKILL);
		/* One in a frozen cgroup ends when that goes on. */
		wait_child_end(successor->pid, now_us() + END_US);
		waitpid(successor->pid, NULL, WNOHANG);
	}
	successor_done(successor);
}

/* Puts all that it is told into its socket: it finds it there. Returns: 0 or -errno. */
static int send_parts(const struct upgrade_target *target, int socket)
{
	ssize_t n = send(socket, &target->call, sizeof(target->call), MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return -errno;
	n = pass_fd_send(socket, (char[]){'p'}, 1, target->pidfd);
	for (size_t i = 0; n > 0 && i < target->fd_count; i++)
		n = pass_fd_send(socket, (char[]){'f'}, 1, target->fds[i]);
	return n < 0 ? (int)n : 0;
}

/* What a child is told that becomes the successor. */
struct start {
	const struct upgrade_target *target;
	int program, socket;
};

/* Returns: the exit status, where there is no successor. */
static int run_program(void *argument)
{
	const struct start *start = argument;
	static struct view_error error;
	int r;

	error.code = CODE_NONE;
	if (place_process(start->target, getpid(), &error) == 0) {
		r = takeover_exec(start->program, start->socket);
		view_fail(&error, MSG_TAKEOVER, "the program", strerror(-r));
	}
	report_send(start->socket, &error, NULL);
	return view_code_exit(error.code);
}

/* Has the supervisor start it. Returns: 0 or -errno. */
static int ask_supervisor(int supervisor, int program, int socket)
{
	ssize_t n = pass_fd_send(supervisor, (char[]){'x'}, 1, program);

	if (n > 0)
		n = pass_fd_send(supervisor, (char[]){'s'}, 1, socket);
	return n < 0 ? (int)n : 0;
}

/* Starts it, with all that it is told. Returns: 0, or < 0 with *error*. */
static int successor_start(const struct upgrade_target *target, int program, struct successor *ret,
			   struct view_error *error)
{
	cleanup_close int theirs = -EBADF;
	int ends[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return view_fail(error, MSG_SYSTEM, "socketpair", strerror(errno));
	ret->socket = ends[0];
	theirs = ends[1];
	r = send_parts(target, ret->socket);
	if (r < 0)
		return view_fail(error, MSG_SYSTEM, "passing descriptors", strerror(-r));
	ret->supervisor = target->supervisor;
	if (ret->supervisor >= 0) {
		r = ask_supervisor(ret->supervisor, program, theirs);
		return r < 0 ? view_fail(error, MSG_SYSTEM, "its supervisor", strerror(-r)) : 0;
	}
	ret->pid = spawn_program(run_program, &(struct start){target, program, theirs});
	return ret->pid < 0 ? view_fail(error, MSG_SYSTEM, "fork", strerror(-ret->pid)) : 0;
}

/* Waits until it could serve. Returns: 0, or < 0 with *error*. */
static int successor_wait_ready(struct successor *successor, uint64_t deadline_us,
				struct view_error *error)
{
	static struct report report;
	uint64_t pid;
	int r;

	memset(&report, 0, sizeof(report));
	r = report_receive(successor->socket, -1, -1, deadline_us, &report);
	if (r == -ETIMEDOUT)
		return view_fail(error, MSG_NOT_UPGRADED, "the new process is not ready in time");
	if (r < 0)
		return view_fail(error, MSG_NOT_UPGRADED,
				 "the new process ended without reporting an error");
	if (report.code != CODE_NONE)
		return view_fail(error, report.code, "%s", report.text);
	if (parse_uint(report.text, 10, INT_MAX, &pid) < 0)
		return view_fail(error, MSG_NOT_UPGRADED, "the new process is another program");
	successor->pid = (pid_t)pid;
	return 0;
}

/* Waits until it serves. Returns: 0 or -errno. */
static int successor_wait_serving(const struct successor *successor)
{
	struct pollfd answer = {.fd = successor->socket, .events = POLLIN};
	char byte;

	if (poll(&answer, 1, SERVES_MS) <= 0)
		return -ETIMEDOUT;
	return read(successor->socket, &byte, 1) == 1 && byte == TAKEOVER_SERVES ? 0 : -EPIPE;
}

static int tell(const struct successor *successor, char byte)
{
	return send(successor->socket, &byte, 1, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Has it serve; *ended*: the old process has been ended. Returns: 0 or -errno. */
static int hand_over(const struct successor *successor, const struct upgrade_target *target,
		     bool *ended)
{
	int r = tell(successor, TAKEOVER_COMMIT);

	if (r == 0 && !*ended)
		r = target_end(target, successor->pid);
	/* One that does not end in time has been killed, and reads no request any more. */
	if (r < 0 && r != -ETIMEDOUT)
		return r;
	*ended = true;
	r = tell(successor, TAKEOVER_GO);
	return r < 0 ? r : successor_wait_serving(successor);
}

static int begin(struct upgrade *upgrade, const struct upgrade_wish *wish, struct view_error *error)
{
	struct upgrade_target *target = &upgrade->target;
	int r = target_open(wish->pid, wish->device, wish->owner, upgrade->program, target, error);

	if (r < 0)
		return r;
	target->call.generation = wish->generation ? wish->generation : 1;
	return successor_start(target, upgrade->program, &upgrade->successor, error);
}

int upgrade_begin(const struct upgrade_wish *wish, int program, struct upgrade **ret,
		  struct view_error *error)
{
	struct upgrade *upgrade = malloc(sizeof(*upgrade));
	int r;

	if (!upgrade)
		return view_fail(error, MSG_NO_MEMORY);
	*upgrade = (struct upgrade){UPGRADE_TARGET_INIT, SUCCESSOR_INIT, program};
	r = begin(upgrade, wish, error);
	if (r < 0)
		upgrade_drop(upgrade);
	else
		*ret = upgrade;
	return r;
}

void upgrade_drop(struct upgrade *upgrade)
{
	successor_end(&upgrade->successor);
	target_done(&upgrade->target);
	free(upgrade);
}

/* Has a successor serve that was started. Returns: 0, or < 0, with or without *error*. */
static int succeed(struct upgrade *upgrade, uint64_t deadline_us, bool *ended,
		   struct view_error *error)
{
	struct successor *successor = &upgrade->successor;
	int r = successor_wait_ready(successor, deadline_us, error);

	/* A supervisor has started it where the supervisor is. */
	if (r == 0 && successor->supervisor >= 0)
		r = place_process(&upgrade->target, successor->pid, error);
	return r < 0 ? r : hand_over(successor, &upgrade->target, ended);
}

pid_t upgrade_finish(struct upgrade *upgrade, uint64_t deadline_us, struct view_error *error)
{
	struct successor *successor = &upgrade->successor;
	bool ended = false;
	int r = succeed(upgrade, deadline_us, &ended, error);

	/* The connection stays open here: a successor that dies has another one. */
	for (int i = 1; r < 0 && ended && i < SUCCESSORS_MAX; i++) {
		successor_end(successor);
		*successor = SUCCESSOR_INIT;
		r = successor_start(&upgrade->target, upgrade->program, successor, error);
		if (r == 0)
			r = succeed(upgrade, deadline_us, &ended, error);
	}
	if (r == 0) {
		pid_t pid = successor->pid;

		successor_done(successor);
		*successor = SUCCESSOR_INIT;
		upgrade_drop(upgrade);
		return pid;
	}
	upgrade_drop(upgrade);
	return view_fail(error, MSG_NOT_UPGRADED,
			 ended ? "the view has ended: no new process serves it"
			       : "the new process has ended");
}
