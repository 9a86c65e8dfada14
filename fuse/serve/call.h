/* SPDX-License-Identifier: Apache-2.0 */
/* What the process that makes a view and serves it is told. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fuse/cli/layers-from.h"
#include "fuse/cli/options.h"
#include "fuse/serve/progress.h"

/* The view that is asked for. */
struct view_call {
	const struct layers_from *from;
	struct options *options; /* its overlay is moved into the view */
	const char *mountpoint;
	bool detached;	   /* mounted nowhere: *mountpoint* is "-" */
	bool supervised;   /* its parent stays, and its death ends the view */
	bool terminal;	   /* stderr is one, and the image is one of blobs, which takes long */
	bool keep_stderr;  /* logs go there as long as the view is there; else to syslog */
	uint64_t start_us; /* when the call began, for the ready line */
};

enum { TOLD_FDS = 2 }; /* --ready-fd and --pass-mount, which may be one */

struct server_call {
	struct view_call view;
	pid_t parent;		/* the process that starts the server */
	int report_fd;		/* where the outcome goes */
	int log_fd;		/* where lines go that are for stderr: a pipe to the launcher */
	int told_fds[TOLD_FDS]; /* of the caller, which the server closes; or -1 */
	int pass_fd;		/* where the root of a detached mount goes before that; -1: none */
	struct progress *progress;
	/* The first of the caller's words, above the launcher's whole stack. What lies below, the
	 * arguments too, is garbage once the launcher has ended and the view needs no more of the
	 * call; NULL: it is not in this process's memory. */
	const void *argv_top;
};
