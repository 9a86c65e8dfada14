/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What went wrong, as a caller needs it (a code) and as a person does (one sentence). The sentences
 * themselves stand in fuse/base/messages.h, all of them.
 */
#pragma once

#include <stdbool.h>

/* The codes of the ready line, in the words of the contract. */
enum view_code {
	CODE_NONE,
	CODE_EUSAGE,	     /* usage error */
	CODE_ENOTAPPLICABLE, /* the input is fine, but has no layers that a view can serve */
	CODE_ELAYER,	  /* a layer is missing, unreadable, not a directory, changed underfoot */
	CODE_ECONFIG,	  /* urunc.json or config.json is not what it must be */
	CODE_ENOARTIFACT, /* a named artifact is in no layer, or hidden by a whiteout */
	CODE_EARTIFACT,	  /* it is there and no regular file, or its path is not allowed */
	CODE_EDIGEST,	  /* something has not the digest that was asked for */
	CODE_EMOUNT,	  /* the mountpoint is missing or taken, or the kernel refused the mount */
	CODE_ESYSTEM,	  /* no memory, descriptors, /dev/fuse or privilege; time-out */
	CODE_BUG,	  /* a bug of ours */
};

enum { MESSAGE_SIZE = 4096 };

/* Owns nothing: it can be filled where there is no memory left, and thrown away. */
struct view_error {
	enum view_code code;
	char message[MESSAGE_SIZE]; /* a printable sentence without a full stop, cut if too long */
};

/* Only the code says whether there is an error: no page of the message is touched for that. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a name takes no parentheses. */
#define VIEW_ERROR(name)        \
	struct view_error name; \
	name.code = CODE_NONE;  \
	name.message[0] = 0
/* NOLINTEND(bugprone-macro-parentheses) */

/*
 * Fills *error* with a code and a sentence, both from messages.h. What is in *error* already is
 * kept: the first cause is what a person needs.
 * Returns: -ECANCELED, for `return view_fail(...)`.
 */
int view_fail(struct view_error *error, enum view_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Adds to the sentence what to do about it. */
void view_hint(struct view_error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Whether *r*, -errno, says that the machine lacks something (ESYSTEM). */
bool is_resource_error(int r);

/* "ELAYER" and so on. */
const char *view_code_name(enum view_code code);

/* The inverse; CODE_BUG: no code has that name. */
enum view_code view_code_of(const char *name);

/* mount(8)'s exit status: 0, 1 usage, 2 system, 4 bug, 32 mount failure. */
int view_code_exit(enum view_code code);
