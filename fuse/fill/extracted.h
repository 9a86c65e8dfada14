/* SPDX-License-Identifier: Apache-2.0 */
/* Files of an image's layers whose contents were extracted: asked for again they are not decoded
 * again. They have no names. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "fuse/base/digest.h"

struct extracted {
	uint32_t layer;		   /* counted from the bottom */
	uint64_t entry;		   /* of its archive */
	int fd;			   /* open for reading; owned */
	struct digest_wish digest; /* of the content, if that is known */
};

/* Begins as zeros. */
struct extracted_files {
	struct extracted *items; /* owned */
	size_t count, room;
};

/*
 * Takes over the file *fd*, which was written and is open for reading only from now on. *digest*
 * may be NULL. Returns: 0 or -errno.
 */
int extracted_add(struct extracted_files *files, uint32_t layer, uint64_t entry, int fd,
		  const struct li_digest *digest);

/* Returns: what is borrowed until more is added; NULL: it was not extracted. */
const struct extracted *extracted_find(const struct extracted_files *files, uint32_t layer,
				       uint64_t entry);

/* Opens a description of its own, which reads from the start. Returns: owned, or -errno. */
int extracted_open(const struct extracted *file);

/* Closes all files. */
void extracted_clear(struct extracted_files *files);
