/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/serve/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/mount/mountpoint.h"
#include "fuse/process/daemonize.h"
#include "fuse/process/fds.h"
#include "layerindex/cleanup.h"

/* Whether a lifeline has closed; what is written into it is of no interest. */
static bool has_closed(int fd, short events)
{
	char bytes[256];

	if (events & POLLIN)
		return read(fd, bytes, sizeof(bytes)) <= 0;
	return events != 0;
}

/* Waits for the end. Returns: true when the view must be ended, false when it has ended. */
static bool wait_for_end(int server, int signals, int lifeline)
{
	struct pollfd fds[] = {
		{.fd = server, .events = POLLIN},
		{.fd = signals, .events = POLLIN},
		{.fd = lifeline, .events = POLLIN},
	};

	for (;;) {
		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			return true;
		if (fds[0].revents)
			return false;
		if (fds[1].revents || has_closed(lifeline, fds[2].revents))
			return true;
	}
}

/* The last copy of the mount may be another namespace's: the server is told as well. */
static void end_view(const char *mountpoint, pid_t pid, int server)
{
	int r = mountpoint_detach(mountpoint);

	if (r < 0 && r != -EINVAL)
		log_warn("unmount '%s': %s", mountpoint, strerror(-r));
	if (server >= 0)
		pidfd_send_signal(server, SIGTERM, NULL, 0);
	else
		kill(pid, SIGTERM);
}

/* A lifeline that cannot be watched counts as closed. *pid* is a child: its id is not reused. */
static int give_up(const char *mountpoint, pid_t pid)
{
	VIEW_ERROR(error);

	view_fail(&error, MSG_NOT_WATCHED, strerror(errno));
	log_error("%s", error.message);
	end_view(mountpoint, pid, -EBADF);
	return view_code_exit(error.code);
}

/*
 * The process that stays when its caller returns. The lifeline may have stdio's number, and
 * gets another one then. Returns: 0 or -errno.
 */
static int let_caller_go(int server, int signals, int *lifeline)
{
	int r;

	setsid();
	*lifeline = fcntl(*lifeline, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (*lifeline < 0)
		return -errno;
	r = fds_close(STDERR_FILENO + 1, (int[]){server, signals, *lifeline}, 3);
	if (r == 0)
		r = daemonize_detach(false);
	log_to_syslog();
	return r;
}

int supervise(const char *mountpoint, int lifeline, bool foreground, pid_t pid, int signals)
{
	cleanup_free char *absolute = mountpoint_path(mountpoint);
	/* What comes last has said in errno why it failed. */
	cleanup_close int server = absolute ? pidfd_open(pid, 0) : -EBADF;
	bool let_go = true;

	if (server < 0)
		return give_up(absolute ? absolute : mountpoint, pid);
	if (!foreground) {
		pid_t supervisor = fork();

		if (supervisor < 0)
			return give_up(absolute ? absolute : mountpoint, pid);
		if (supervisor > 0)
			return 0;
		let_go = let_caller_go(server, signals, &lifeline) == 0;
	}
	if (!let_go || wait_for_end(server, signals, lifeline))
		end_view(absolute, pid, server);
	return 0;
}
