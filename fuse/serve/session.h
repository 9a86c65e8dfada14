/* SPDX-License-Identifier: Apache-2.0 */
/* A view's connection to the kernel. */
#pragma once

#include "fuse/base/error.h"
#include "fuse/mount/view-mount.h"
#include "fuse/process/standby.h"
#include "fuse/serve/ready-line.h"
#include "fuse/view/view.h"

struct session;
struct view_state;

/*
 * Takes over the connection of *mount*, on failure too, and answers the kernel's first request,
 * which is waiting in it since it was mounted: then the view can be used. With passthrough=on the
 * artifacts, which must be resolved, are given to the kernel. *view* is borrowed.
 * Returns: 0, with a session owned by the caller, or < 0 with *error*.
 */
int session_start(struct view *view, const struct options *options, struct view_mount *mount,
		  const char *mountpoint, struct session **ret, struct view_error *error);

/* Closes the connection of a session that was not sandboxed; its mount is dead then. */
void session_end(struct session *session);

/*
 * Fills in how the view's files are read, and has the session answer from *facts* what the view is;
 * they are borrowed, and may change later.
 */
void session_tell(struct session *session, struct view_facts *facts);

/*
 * Waits until the other end of the pipe *launcher* is closed, a request has come, or some time has
 * passed.
 */
void session_wait(const struct session *session, int launcher);

/*
 * Serves while there is still something to do beside it: artifacts are resolved when nothing
 * waits, or after some requests. Comes back when all have been tried, and the other end of the pipe
 * *launcher* is closed.
 * Returns: > 0; 0: the mount is gone; < 0: -errno of the connection.
 */
int session_serve_startup(struct session *session, int launcher);

/*
 * Serves those who come as soon as the view was announced, while their requests follow one another:
 * what this process does next would keep them waiting. A few requests at most.
 * Returns: as session_serve_startup().
 */
int session_serve_first(struct session *session);

/*
 * Keeps what another program needs to take the view over, in a descriptor of the session; *state*
 * has all but what the session knows. Without memory, say, there is no such descriptor.
 */
void session_keep_state(struct session *session, struct view_state *state);

/*
 * A session on a connection that another process serves, with that one's state in the descriptor
 * *state*; both are the session's from now on. *view* is borrowed. Returns: NULL without memory.
 */
struct session *session_adopt(struct view *view, int connection, int state);

/* What session_start() does by the kernel's first request, by what was kept of it. */
void session_resume(struct session *session, const struct view_state *state);

/* Has the kernel send all requests again that were not answered. Returns: 0 or -errno. */
int session_resend(const struct session *session);

/* Whether this kernel lets another process answer what a killed one has left. */
bool session_can_survive(const struct session *session);

/*
 * Gives up all that serving does not take; *standby* says that this process is to stand by. Nothing
 * is logged any more. Returns: the measures that are in force (fuse/process/sandbox.h).
 */
unsigned session_sandbox(struct session *session, bool standby);

/* What serving reads with pread(2), and which descriptors it takes at most. */
enum { SESSION_FDS_MAX = 2 + ARTIFACTS_MAX };
bool session_reads(const struct session *session);

/*
 * For a child of the process that stands by, or for that one itself where it has none: gives up
 * what standing by takes. Then all requests that another child has left are sent again.
 * *standby* is borrowed. Returns: 0 or -errno.
 */
int session_continue(struct session *session, const struct standby *standby);

/* Serves until the mount is gone. Returns: 0, or -errno of the connection. */
int session_serve(struct session *session);
