/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/serve/serve-view.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fuse/base/log.h"
#include "fuse/live/proctitle.h"
#include "fuse/live/view-answer.h"
#include "fuse/process/daemonize.h"
#include "fuse/process/inherited.h"
#include "fuse/process/memory.h"
#include "fuse/process/sandbox.h"
#include "fuse/process/spawn.h"
#include "fuse/process/standby.h"
#include "fuse/serve/state.h"
#include "fuse/view/index-policy.h"

void served_show_title(struct view_facts *facts, const char *ready)
{
	cleanup_free char *answer = NULL;

	if (strlen(ready) < VIEW_ANSWER_MAX) {
		proctitle_set(ready);
		return;
	}
	answer = report_answer(facts);
	if (answer)
		proctitle_set(answer);
}

/* Now that it is known what the view holds, and how that is read. */
static void update_title(const struct served *served)
{
	cleanup_free char *ready = NULL;

	session_tell(served->session, served->facts);
	ready = report_ready_line(served->facts);
	if (ready)
		served_show_title(served->facts, ready);
}

/* What stands for a detached mount's place. */
static const char *place_of(const struct view_facts *facts)
{
	return facts->mountpoint ? facts->mountpoint : "-";
}

/* Now that no caller waits for it. */
static void log_ready(const struct view_facts *facts)
{
	log_info("view ready on '%s' after %" PRIu64 " us, %s passthrough", place_of(facts),
		 facts->elapsed_us, facts->passthrough ? "with" : "without");
}

/* What the process that stands by shows, for people. */
static void show_standby(const struct served *served)
{
	const char *id = served->facts->id;
	char title[ID_MAX + sizeof("standby of ")];

	snprintf(title, sizeof(title), "standby of %s", id ? id : place_of(served->facts));
	proctitle_replace(title);
}

/*
 * Stands by, and serves in a child (standby.h). Returns: true in each child, and where there can be
 * none in this process; false at the end in the process that stood by, with its exit status.
 */
static bool stand_by(const struct served *served, struct standby *standby, int *ret)
{
	struct view_facts *facts = served->facts;

	show_standby(served);
	switch (standby_start(standby, ret)) {
	case STANDBY_OVER: return false;
	case STANDBY_ALONE: facts->survives = false; break;
	case STANDBY_CHILD: facts->standby = standby; facts->pid = standby->pid;
	}
	proctitle_restore();
	return true;
}

int served_run(const struct served *served, struct standby *standby, bool prepared)
{
	int status;

	if (served->facts->survives && !stand_by(served, standby, &status))
		return status;
	if (prepared && session_continue(served->session, standby) < 0)
		return view_code_exit(CODE_ESYSTEM);
	return session_serve(served->session) < 0 ? view_code_exit(CODE_ESYSTEM) : 0;
}

/*
 * Sandboxes the session, and serves it to its end. *insist*: only if every measure is in force.
 * Returns: the exit status.
 */
static int serve_sandboxed(const struct served *served, struct standby *standby, bool insist)
{
	struct view_facts *facts = served->facts;
	bool prepared = facts->survives;

	facts->sandboxed = session_sandbox(served->session, prepared);
	/* What could be had could not be done: no memory, say. */
	if (facts->sandboxed != SANDBOX_ALL) {
		facts->survives = false;
		if (insist)
			return view_code_exit(CODE_ESYSTEM);
	}
	return served_run(served, standby, prepared);
}

/* What another program needs to take the view over; without it the view is as good. */
static void keep_state(const struct served *served, const struct view_call *call)
{
	struct view_state state = {
		.supervised = call->supervised,
		.insist = call->options->sandbox == SANDBOX_REQUIRE,
		.view = served->view,
		.facts = served->facts,
	};

	session_keep_state(served->session, &state);
}

int serve_view(const struct served *served, const struct server_call *call)
{
	bool insist = call->view.options->sandbox == SANDBOX_REQUIRE;
	struct view_facts *facts = served->facts;
	struct standby standby = {};
	int r;

	/* The caller waits for the launcher's end, and for nothing that is done here. */
	spawn_release();
	session_wait(served->session, call->report_fd);
	signals_of_server(true);
	daemonize_silence(call->view.keep_stderr);
	r = session_serve_startup(served->session, call->report_fd);
	close(call->report_fd);
	/* The launcher has gone, or has a mapping of its own; not if the mount went first. */
	if (r > 0)
		progress_release(call->progress);
	log_ready(served->facts);
	if (r > 0)
		r = session_serve_first(served->session);
	view_facts_complete(facts);
	index_policy_publish(served->view->image.index, served->view->image.stack);
	view_release_layers(served->view);
	if (r <= 0)
		return r < 0 ? view_code_exit(CODE_ESYSTEM) : 0;
	update_title(served);
	keep_state(served, &call->view);
	if (facts->survives)
		facts->survives = standby_prepare(&standby, call->view.supervised) == 0;
	/* The call itself lies there. */
	if (call->argv_top)
		memory_release_below(call->argv_top);
	memory_release_heap();
	memory_release_stack();
	return serve_sandboxed(served, &standby, insist);
}
