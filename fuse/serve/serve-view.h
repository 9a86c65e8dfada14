/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a view from the moment when its caller was told of it. */
#pragma once

#include "fuse/serve/call.h"
#include "fuse/serve/ready-line.h"
#include "fuse/serve/session.h"
#include "fuse/view/view.h"

/* A view that is served; all borrowed. */
struct served {
	struct session *session;
	struct view *view;
	struct view_facts *facts;
};

/* Shows the ready line in the process's title, where names may be cut. */
void served_show_title(struct view_facts *facts, const char *ready);

/*
 * Serves to the end in a process that is sandboxed: as one that stands by if *prepared*, and it
 * does stand by where facts->survives. Returns: the exit status.
 */
int served_run(const struct served *served, struct standby *standby, bool prepared);

/*
 * Serves to the end; what the start took and serving does not need is given back as soon as it can
 * be. *call* is valid only until the launcher's memory is given back. Returns: the exit status.
 */
int serve_view(const struct served *served, const struct server_call *call);
