/* SPDX-License-Identifier: Apache-2.0 */
/* The outcome for a caller: the ready line, and its way between processes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fuse/base/error.h"
#include "fuse/process/standby.h"
#include "fuse/view/fingerprint.h"
#include "fuse/view/view.h"

/* The facts about a served view. All strings are borrowed. */
struct view_facts {
	const struct view *view;
	const char *id;		/* NULL: none */
	const char *mountpoint; /* NULL: it is a detached mount */
	bool passthrough;
	uint64_t elapsed_us;
	unsigned connection; /* its directory in fusectl */
	bool shall_survive;  /* survive=on */
	bool survives;	     /* another process goes on where the one that serves is killed */
	/* Not in the ready line: */
	const char *version;
	pid_t pid;
	uid_t owner;		       /* of the mount; may ask, as root may */
	unsigned sandboxed;	       /* the measures in force (sandbox.h); 0: not yet */
	const struct standby *standby; /* NULL: no process stands by, or not yet */
	unsigned generation;	       /* how many processes served before those of this program */
	const struct options *options; /* that the fingerprint is of, as long as there is none */
	char fingerprint[FINGERPRINT_SIZE]; /* "": not yet; view_facts_complete() */
};

/*
 * Computes the fingerprint, once. It is asked for when the view is there, if at all, and not before
 * its layers are closed.
 */
void view_facts_complete(struct view_facts *facts);

/*
 * The ready line of a view, without a newline; with what it holds, and what is missing, once all
 * artifacts have been looked for. Returns: an owned string, or NULL without memory.
 */
char *report_ready_line(const struct view_facts *facts);

/*
 * What the view answers (fuse/live/view-answer.h): the ready line and what is not in it, shorter
 * than VIEW_ANSWER_MAX. Completes the facts. Returns: as report_ready_line().
 */
char *report_answer(struct view_facts *facts);

enum { FAILURE_LINE_SIZE = 2 * MESSAGE_SIZE + 128 };

/* The same for a failure. Allocates no memory. */
void report_failure_line(char line[static FAILURE_LINE_SIZE], const struct view_error *error);

/*
 * An outcome on its way through a pipe: the code, then the ready line (CODE_NONE) or the sentence,
 * then a newline, which neither holds. The size is far beyond what paths allow.
 */
struct report {
	enum view_code code;
	char text[256 << 10];
};

/* Writes an outcome into a pipe: *ready*, or the error where that is NULL. Returns: 0 or -errno. */
int report_send(int fd, const struct view_error *error, const char *ready);

/*
 * Reads an outcome from a pipe, until *deadline_us* on the monotonic clock at the latest, and
 * passes on what comes from the pipe *log* meanwhile (log_relay(); -1: none). Takes no memory.
 * *ret* must be empty.
 * Returns: 0, with *ret* filled; -ETIMEDOUT; -EPIPE: closed without an outcome; -EMSGSIZE; -EINTR:
 *	*interrupt* became readable.
 */
int report_receive(int fd, int interrupt, int log, uint64_t deadline_us, struct report *ret);
