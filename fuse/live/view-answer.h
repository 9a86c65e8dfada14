/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answer of a view about itself. A program asks the mount, on any of its files or directories:
 *
 *	char answer[VIEW_ANSWER_MAX];
 *	int n = ioctl(fd, VIEW_IOC_TELL, answer);
 *
 * The answer is *n* bytes, without a NUL: one JSON object, the view's ready line by now, completed
 * by
 *
 *	sandbox      the measures in force, by name; not there before it is sandboxed
 *	version      of the program that serves it
 *	pid          of its process, in that process's pid namespace
 *	fingerprint  view_fingerprint()
 *	standby      the process that goes on where that one is killed; its namespace is the same
 *	generation   how many processes have served the view, where that can be more than one
 *	cut          true, where names were too long for all of it and end in an ellipsis
 *
 * Names are shown as everywhere (name_printable()). Root and the mount's owner are answered; others
 * get EACCES. A view of version 0.1.0 knows no such request: ENOTTY. A dead one: ENOTCONN. A view
 * whose process is stopped does not answer: see ask.h.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/types.h>

#include "layerindex/cleanup.h"

enum { VIEW_ANSWER_MAX = 8192 }; /* bytes */

#define VIEW_IOC_TELL _IOR('V', 0xf5, char[VIEW_ANSWER_MAX])

struct view_answer {
	struct json_object *ready; /* the ready line; every string can be shown; owned */
	char version[32];	   /* "": not told */
	char fingerprint[65];	   /* "": not told */
	pid_t pid;		   /* 0: not told */
	pid_t standby;		   /* 0: none */
	unsigned generation;	   /* 0: not told */
	unsigned sandboxed;	   /* the measures in force (sandbox.h); 0: not yet */
	bool cut;
};

/*
 * Parses an answer of *n* bytes, which a NUL must follow. Any process may have written it: what is
 * known of the ready line is of its type, and nothing else is known of it.
 * Returns: 0, with *ret* (view_answer_done()); -EINVAL: it is none; -ENOMEM.
 */
int view_answer_parse(const char *text, size_t n, struct view_answer *ret);

void view_answer_done(struct view_answer *answer);
DEFINE_CLEANUP(struct view_answer, view_answer_done)
