/* SPDX-License-Identifier: Apache-2.0 */
/* Has an image added that the artifact store lacks, by a process of its own: viewfsctl. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "fuse/base/error.h"
#include "fuse/cli/options.h"
#include "fuse/source/source.h"
#include "fuse/view/view.h"

/* What was done about a view's image. */
struct ingest {
	const struct options *options;
	uint64_t start_us; /* when the call began (now_us()) */
	bool terminal;	   /* a person waits at stderr, and is shown how far the process is */
	int outcome;	   /* what a process says, and said last; owned; or -EBADF */
};

#define INGEST_OF(options, start_us, terminal) \
	((struct ingest){options, start_us, terminal, -EBADF})

void ingest_done(struct ingest *ingest);
DEFINE_CLEANUP(struct ingest, ingest_done)

/*
 * After view_prepare(), or what resolves the artifacts, returned IMAGE_MISS with *error*: if
 * *source* has blobs, does what ingest= says. It starts the process, unless another one adds the
 * image already, and waits, until nine tenths of the time limit are over; then the process goes on.
 * It has none of the caller's descriptors, and a session of its own.
 * Returns: true: the image was added, *error* is empty and *view* undone: try again;
 *	false: *error* says why; view_done() is the caller's.
 */
bool ingest_again(struct ingest *ingest, struct source *source, struct view *view,
		  struct view_error *error);
