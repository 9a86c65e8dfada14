/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacks an image's layers without believing what unpacks them: a decoder and an unpacker, each
 * confined, with this process between them, which hashes the plain bytes against the diff id.
 */
#pragma once

#include <sys/stat.h>

#include "fuse/base/error.h"
#include "fuse/fill/blob-table.h"
#include "fuse/fill/passage.h"
#include "layerindex/cleanup.h"
#include "layerindex/hash/digest.h"

/* The largest artifact that is extracted. */
#define EXTRACT_SIZE_MAX (INT64_C(4) << 30)

struct unpacker {
	pid_t pid;
	int to, from; /* owned */
};

#define UNPACKER_INIT ((struct unpacker){.pid = -1, .to = -EBADF, .from = -EBADF})

/* Starts an unpacker for an image of so many layers. Returns: 0, or < 0 with *error*. */
int unpacker_start(uint32_t layers, struct unpacker *ret, struct view_error *error);

/* Ends it. */
void unpacker_stop(struct unpacker *unpacker);
DEFINE_CLEANUP(struct unpacker, unpacker_stop)

/*
 * Decodes a layer, and writes its name log to *log*, which is the word of a process that has read
 * this layer and nothing else. *ret*, owned by the caller, is what is likely to be asked for, of as
 * many bytes as it has room for;
 * *directory* is where such files are made, without names. Returns: 0, or < 0 with *error*:
 * CODE_ELAYER where the blob is damaged, or is not what its diff id
 *	says; CODE_ENOTAPPLICABLE where it exceeds a limit of ours.
 */
int unpacker_list(const struct opened_blob *blob, int log, int directory, struct kept_files *ret,
		  struct view_error *error);

/*
 * Reads *layer*, counted from the bottom, by its name log, which is borrowed; *blob* is for
 * messages.
 * Returns: 0, or < 0 with *error*: CODE_ELAYER where containerd refuses such a layer, too, or where
 *	the log is damaged; CODE_ENOTAPPLICABLE where the layer exceeds a limit of ours.
 */
int unpacker_read_log(const struct unpacker *unpacker, const struct opened_blob *blob,
		      uint32_t layer, int log, struct view_error *error);

/*
 * Reads a layer by the blob's table of contents: *blob->diff_id* does not count, for the plain
 * bytes are not seen. Returns: 0, or < 0 with *error*, also where the table is not usable.
 */
int unpacker_read_table(const struct unpacker *unpacker, const struct opened_blob *blob,
			uint32_t layer, const struct blob_table *table, struct view_error *error);

/* What a path leads to. */
struct unpacked {
	struct stat st;		    /* mode, owner, size and last modification; the rest is zero */
	uint32_t layer;		    /* counted from the bottom; see unpacker_find() */
	uint64_t entry;		    /* which of it has the content */
	struct toc_range range;	    /* where that is, by the layer's table; offset 0: unknown */
	char path[FRAME_TEXT_MAX];  /* where links led, without a leading slash */
	struct frame_status status; /* of an image that is refused */
};

/* Says that unpacker_find() will be asked for a path, a few of them, so that a layer is read again
 * for all at once. Where that fails, unpacker_find() fails, too. */
void unpacker_expect(const struct unpacker *unpacker, const char *path);

/*
 * Returns: 0; -EAGAIN: *ret->layer* must be read, or read again; -ENOENT, -ENOTDIR, -ELOOP,
 *	-ENAMETOOLONG: as open(2) in the image; -EBADMSG: *ret->layer* is refused: see
 *	unpacker_fail(); -EIO: it broke.
 */
int unpacker_find(const struct unpacker *unpacker, const char *path, struct unpacked *ret);

/* Says why a layer is refused; *blob* is for messages. Returns: < 0 with *error*. */
int unpacker_fail(const struct opened_blob *blob, const struct frame_status *status,
		  struct view_error *error);

/*
 * Writes the contents of *n* entries, at most EXTRACT_MAX in the archive's order, decoding their
 * layer once. Returns: 0, or < 0 with *error* as unpacker_list().
 */
int unpacker_extract(const struct unpacker *unpacker, const struct opened_blob *blob,
		     const struct wanted_content *wanted, size_t n, struct view_error *error);

/*
 * Writes the content of a file of a layer that was added by its table to *out*, if it has the
 * digest of *what->range*; only that range of the blob is read. Returns: 0, or < 0 with *error*.
 */
int unpacker_extract_range(const struct opened_blob *blob, const struct unpacked *what, int out,
			   struct view_error *error);
