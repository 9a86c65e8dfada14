/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that stands by: it starts a child that works, waits, and starts the next child when
 * that one was killed. It knows nothing of the work. Both are sandboxed (sandbox.h) before the
 * first child is there.
 *
 * A child that SIGKILL ends (the kernel's, when memory is short, or a person's) has a successor
 * each time. Any other signal is a fault of the program or an attack on it, and each child has the
 * same addresses as the one before: DEATHS_MAX of these end the work. SIGTERM and SIGINT are how it
 * is asked to end.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { DEATHS_MAX = 5 };

/* What such a process is called (comm): a child has the program's name. */
#define STANDBY_NAME "viewfs-standby"

struct standby {
	/*
	 * What the child is at, as a number, or 0. In memory that the two share: a child that was
	 * taken over may have written anything.
	 */
	volatile uint64_t *task;
	bool tied; /* the child ends with the process that stands by */

	/* In a child: */
	pid_t pid, parent;
	unsigned generation; /* from 1 on */
	uint64_t poison;     /* the task that two children died of, or 0 */
};

/* Where standby_start() returns. */
enum standby_role {
	STANDBY_CHILD, /* in a child, which calls sandbox_successor() next */
	STANDBY_OVER,  /* in the process that stood by: there will be no further child */
	STANDBY_ALONE, /* no child can be started: the process itself must work */
};

/* Prepares it, before the sandbox. Returns: 0 or -errno. */
int standby_prepare(struct standby *standby, bool tied);

/*
 * Starts the first child, after sandbox_standby(), and the others. *ret*, with STANDBY_OVER, is the
 * exit status: the child's, or KILLED_STATUS (spawn.h) and the number of the signal that ended it.
 */
enum standby_role standby_start(struct standby *standby, int *ret);

/* Whether the process that stands by is there. In a child only. */
bool standby_is_there(const struct standby *standby);
