/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process beside a view that something holds: a terminal (--foreground) or a descriptor
 * (--lifeline). It is the server's parent and there before the mount: its own death ends the
 * server, at any moment. It waits, and ends the view when it is released.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "fuse/serve/server.h"

/*
 * The exit status of a supervisor whose lifeline closed before the call had succeeded. (Where a
 * signal ended the server it is KILLED_STATUS (spawn.h) and the signal's number.)
 */
enum { RELEASED_STATUS = 127 };

/* All borrowed. */
struct supervision {
	const struct progress *progress;
	int signals;  /* signals_open(), with children */
	int lifeline; /* -1: none */
	int caller;   /* a pipe that says whether the call has succeeded; -1: it has */
	int log;      /* a pipe of lines for stderr, whose end never blocks; -1: none */
};

/*
 * Waits until the view of the child *server* has ended, or has been ended: the lifeline closes, a
 * signal comes, or the call fails. Where the view is another call's, that view is watched.
 * Returns: the exit status.
 */
int supervise(const struct supervision *supervision, pid_t server);

/* Whether a lifeline is closed now. What is written into it is read, and of no interest. */
bool lifeline_is_closed(int fd);

struct supervisor_call {
	struct server_call server; /* its parent is set here */
	int lifeline;
	/* The pipe from the launcher: a byte is written when the call has succeeded. */
	int caller[2];
};

/*
 * Starts the server of a view with a lifeline, and supervises it. A failure goes where the server's
 * outcome goes. Returns: the exit status.
 */
int supervisor_run(struct supervisor_call *call);

/* Tells the supervisor that the call has succeeded. */
void supervisor_keep(const struct supervisor_call *call);
