/* SPDX-License-Identifier: Apache-2.0 */
/* The process that makes one view and serves it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fuse/cli/layers-from.h"
#include "fuse/cli/options.h"

/*
 * What the launcher must know of a server whose outcome it does not hear, or that is not the one
 * that serves. The memory is shared, so writing to it blocks no process.
 */
struct progress {
	bool mounting;	 /* there may be a mount to clean up if the server is killed */
	pid_t served_by; /* the process that serves the view, if it was there already; else 0 */
};

/* The view that is asked for. */
struct view_call {
	const struct layers_from *from;
	struct options *options; /* its overlay is moved into the view */
	const char *mountpoint;
	bool foreground;
	uint64_t start_us; /* when the call began, for the ready line */
};

struct server_call {
	struct view_call view;
	int report_fd; /* where the outcome goes */
	struct progress *progress;
	/* The first of the caller's words, above the launcher's whole stack. What lies below, the
	 * arguments too, is garbage once the launcher has ended and the view needs no more of the
	 * call; NULL: it is not in this process's memory. */
	const void *argv_top;
};

/*
 * Makes the view, sends the outcome, and serves until the mount is gone. Of the caller's
 * descriptors it keeps none, but for stderr in the foreground. Returns: the process's exit status.
 */
int server_run(const struct server_call *call);
