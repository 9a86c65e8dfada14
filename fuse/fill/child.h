/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children that read what an image's author wrote, each confined to its descriptors. None is
 * believed: the parent hashes what goes between them.
 */
#pragma once

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "fuse/fill/frames.h"

enum {
	CHILD_MEMORY_MAX = 1 << 30,
	CHILD_SECONDS_MAX = 600, /* of a processor */
	PIECES_BUFFER = 64 << 10,
};

/* What a child has. */
struct child {
	int from, to; /* it is told by the one, and answers into the other */
	pid_t parent;
	rlim_t seconds; /* of a processor */
	void *context;	/* what else *run* of child_start() needs */
};

/* Starts a child that runs *run*, with *child*. Returns: a pid, or -errno. */
pid_t child_start(int (*run)(void *child), struct child *child);

/* Confines this process. It must be called before anything that the image's author wrote is read.
 * Returns: 0; -ESRCH: the parent has gone. */
int child_confine(const struct child *child);

/* Writes a frame. Returns: 0 or -errno. */
int child_answer(const struct child *child, enum frame_kind kind, const void *bytes, size_t n);

/* What a child reads from: the pieces of a layer. Begins with *fd* alone. */
struct pieces {
	int fd;
	size_t left; /* of the piece at hand: not read yet */
	bool ended;
	size_t at, size; /* what of *bytes* was not handed out yet */
	char bytes[PIECES_BUFFER];
};

/* A tar_source, of pieces. */
ssize_t pieces_source(void *pieces, void *buffer, size_t n);

/* Takes what is left of the layer, and says how it went. Returns: 0 or -errno. */
int child_answer_status(const struct child *child, struct pieces *pieces,
			const struct frame_status *status);

/* Answers by what is left of the content of the file at hand. Returns: 0 or -errno. */
int child_hand_out(const struct child *child, struct tar *tar);
