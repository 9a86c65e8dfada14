/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process must know to go on serving a view: bytes in a file in memory that is sealed before
 * the view's process is sandboxed, and never changes. `viewfsctl upgrade` hands it to the process
 * that takes the view over, which keeps it for the next one. So it names descriptors by the numbers
 * that they have in every process of the view, and does not hold what changes with the process.
 *
 * The bytes are numbers and strings in the machine's own order. All that a view of one version
 * answers must follow from it: the node ids too, which view_build() gives. Whatever changes that,
 * or the bytes, is a new STATE_VERSION. A view keeps the state that it was made with, so a program
 * reads all versions from STATE_OLDEST on, and those of the release before it always.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "fuse/base/error.h"
#include "fuse/base/fuse-kernel.h"
#include "fuse/serve/ready-line.h"
#include "fuse/view/view.h"

enum {
	STATE_VERSION = 1,
	STATE_OLDEST = 1,
	STATE_SIZE_MAX = 256 << 10,
	STATE_FD_MAX = 255, /* the highest number of a descriptor that another process takes over */
};

struct view_state {
	struct init_in init; /* the kernel's first request */
	bool passthrough;    /* it was agreed on, and allowed */
	bool resend;	     /* the kernel can send requests again */
	bool supervised;     /* the process ends with its parent */
	bool insist;	     /* sandbox=require */
	/* Borrowed. What is parsed into them state_done() frees. */
	struct view *view;
	struct view_facts *facts; /* its view, pid, owner, version and the like are not stored */
};

/*
 * Writes the state of a view, all of whose artifacts have been looked for, into a sealed file.
 * Returns: a descriptor, close-on-exec, owned; -EFBIG; or what making the file failed with.
 */
int state_keep(const struct view_state *state);

/* Whether *fd* is such a file, by its seals. Returns: its size; -EINVAL: it is none; or -errno. */
ssize_t state_size(int fd);

/*
 * Parses the state of another process's view, which may be anything. The view has the *n*
 * descriptors in *files* to read, which view_done() closes from now on. *ret* has an empty view and
 * empty facts, both of which are filled; state_done() in any case.
 * Returns: 0, or < 0 with *error*.
 */
int state_parse(const void *bytes, size_t size, const int *files, size_t n, struct view_state *ret,
		struct view_error *error);

/* Frees what state_parse() has put into the view and the facts. */
void state_done(struct view_state *state);
