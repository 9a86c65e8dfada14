/* SPDX-License-Identifier: Apache-2.0 */
/* The process that a caller starts and waits for: it starts the server and answers for it. */
#pragma once

#include "fuse/base/error.h"
#include "fuse/serve/server.h"

struct launch_call {
	struct view_call view; /* what is not for the caller to say is set here */
	bool foreground;
	int ready_fd;	/* of the caller, or -1 */
	int lifeline;	/* of the caller, or -1 */
	int pass_mount; /* of the caller, where a detached mount goes, or -1 */
};

/*
 * Makes a view and tells the caller: the ready line, the sentence, the exit status. With
 * --foreground it comes back when the view has ended.
 * *error* is the caller's only to keep the stack small. Returns: the exit status.
 */
int launch(const struct launch_call *call, struct view_error *error);

/*
 * Tells the caller of a failure, on stderr, *call*->ready_fd and *call*->pass_mount, until
 * *deadline_us* (now_us()) or a moment later. Returns: the exit status.
 */
int launch_failed(const struct launch_call *call, uint64_t deadline_us,
		  const struct view_error *error);
