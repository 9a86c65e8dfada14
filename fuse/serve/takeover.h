/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a process of the installed program takes over a view that another process serves. The other
 * side is serve/upgrade.c: it has verified and copied the old process's descriptors, and puts all
 * of this into a UNIX seqpacket socket before the new process starts:
 *
 *	struct takeover_call
 *	a byte with a descriptor, each: the old process (pidfd), the connection, the state, the
 *	files, in the call's order
 *
 * The new process takes the old one's place, gives up all that it will never need, and only then
 * parses the state. It answers by report_send() with its pid, or why it cannot serve, and waits. A
 * failure until then, on either side, changes nothing. What follows are single bytes:
 *
 *	TAKEOVER_COMMIT  the old process is about to be ended. Without a word after this the new
 *			 one serves, too: the upgrade was killed, and perhaps the old one as well
 *	TAKEOVER_GO      the old process is gone
 *	TAKEOVER_SERVES  (the answer) requests that the old one had taken were sent again
 */
#pragma once

#include <stdint.h>

#include "fuse/view/view.h"

#define TAKEOVER_ARGUMENT "--take-over="

enum {
	TAKEOVER_VERSION = 1,
	TAKEOVER_GROUPS_MAX = 64,
	TAKEOVER_COMMIT = 'c',
	TAKEOVER_GO = 'g',
	TAKEOVER_SERVES = 's',
};

struct takeover_call {
	uint32_t version; /* TAKEOVER_VERSION; the rest is of that version */
	uint32_t device;  /* the minor number of the view's mounts */
	/* How many processes have served the view. */
	uint32_t generation;
	/* The CLONE_NEW… of the old process's namespaces that the new one must enter. */
	uint32_t namespaces;
	/* The new process's parent, if that is the view's supervisor; else 0. */
	int32_t supervisor;
	/* The old process's. */
	uint32_t uid, gid, group_count, groups[TAKEOVER_GROUPS_MAX];
	/* The numbers that its descriptors have in the state. */
	int32_t connection, state, files[ARTIFACTS_MAX];
	uint32_t file_count;
};

/*
 * A view with a supervisor keeps it: that starts the new process, as its child. The supervisor has
 * both ends of a UNIX seqpacket socket, and has written SUPERVISOR_GREETING so that it can be read
 * at one of them. The upgrade copies that one, and sends a byte with a descriptor twice: the
 * program, and the new process's socket. A byte alone has the supervisor kill that process again.
 */
#define SUPERVISOR_GREETING "urunc-viewfs supervisor 1"

/* Becomes the new process: runs *program*, which keeps *socket*. Returns -errno if it fails. */
int takeover_exec(int program, int socket);

/* Takes a view over; *socket* is the value of TAKEOVER_ARGUMENT. Returns: the exit status. */
int takeover_run(const char *socket);
