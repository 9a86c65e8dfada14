/* SPDX-License-Identifier: Apache-2.0 */
/* The work of views_end() (end.h), in the child that does it, and what the child tells of it. */
#pragma once

#include "fuse/live/end-process.h"
#include "fuse/live/ending.h"

enum end_word {
	END_BEGUN,    /* the child goes to a place, and may not come back */
	END_REMOVED,  /* a view is gone from there */
	END_FINISHED, /* nothing more is done about the place */
	END_WAITING,  /* for processes, END_MS at most */
};

/* What is written into the pipe; a message follows. */
struct end_record {
	size_t item; /* of the endings */
	enum end_word word;
	enum view_code code; /* with END_FINISHED; CODE_NONE: all is well */
	size_t length;
};

struct end_errand {
	struct ending *endings;
	const bool *finished; /* those that are not looked at any more */
	size_t count;
	int pipe;
};

/* Does what is left to do. *argument* is a struct end_errand. Returns: 0. */
int end_batches(void *argument);
