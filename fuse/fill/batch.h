/* SPDX-License-Identifier: Apache-2.0 */
/* Files of one layer that are extracted at once. */
#pragma once

#include "fuse/base/error.h"
#include "fuse/fill/unpacker.h"

/* In the archive's order, each once. */
struct batch {
	size_t count;
	const struct unpacked *items[EXTRACT_MAX]; /* borrowed */
};

/* Adds a file, if there is room. */
void batch_add(struct batch *batch, const struct unpacked *what);

/* Where files are extracted to. */
struct outputs {
	size_t count;
	struct wanted_content items[EXTRACT_MAX]; /* their descriptors are owned */
};

void outputs_done(struct outputs *outputs);
DEFINE_CLEANUP(struct outputs, outputs_done)

/* Makes a file without a name for each one of a batch, in *directory*. Returns: 0, or < 0 with
 * *error*. */
int outputs_open(int directory, const struct batch *batch, struct outputs *ret,
		 struct view_error *error);

/* Makes a file without a name. Returns: a descriptor, owned by the caller, or -errno. */
int open_unnamed(int directory);
