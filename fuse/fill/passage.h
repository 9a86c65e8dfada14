/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of a layer's plain bytes from its decoder to the child that reads them, and of what that
 * child answers meanwhile. All bytes are hashed, and what either says is bounded.
 */
#pragma once

#include "fuse/fill/frames.h"
#include "layerindex/blob/layer-log.h"
#include "layerindex/cleanup.h"
#include "layerindex/hash/sha256.h"

/* One layer's blob, for messages too. */
struct opened_blob {
	int fd; /* at its start; borrowed */
	struct li_digest digest, diff_id;
	/* Is told while it is decoded how many bytes of it were read; NULL: it is not. */
	void (*tell)(void *context, uint64_t bytes);
	void *context;
};

/* Tells how much of a blob its decoder has read: it reads by the same description. */
void blob_tell(const struct opened_blob *blob);

/* A content to extract. */
struct wanted_content {
	uint64_t entry;
	int64_t size;
	int out; /* where it is written; borrowed */
};

/* Contents of files that were met while a layer was listed. */
struct kept_files {
	size_t count;
	uint64_t entries[KEPT_MAX]; /* the archive's, counted from 0 */
	int fds[KEPT_MAX];	    /* owned */
	int64_t room;		    /* so many bytes may be kept yet */
};

void kept_files_done(struct kept_files *kept);
DEFINE_CLEANUP(struct kept_files, kept_files_done)

/* What two processes may be apart: with the usual 64 KiB of a pipe a gzip layer took 15 %
 * more of the processors. */
enum { PIPE_BYTES = 1 << 20 };

/*
 * Bytes on their way from the decoder to the unpacker, as frames. The pipe to the unpacker holds
 * pages of *ring*, not copies of them: one is written again after the pipe has had as many others
 * as it holds.
 */
struct passage {
	int decoder, from, to;		   /* the ends that are read, and the one that is written */
	const struct opened_blob *metered; /* what is decoded, if its progress is told; or NULL */
	bool ended;			   /* the decoder's bytes, with FRAME_END */
	char *ring;			   /* owned */
	size_t next;			   /* where in it the next frame goes */
	size_t at, end;			   /* what of it is not written yet */
	bool copies;			   /* pages cannot be given to the pipe */
	int64_t plain_left;		   /* so many plain bytes may come yet */
	struct sha256 hash;		   /* of the plain bytes */
	int out;			   /* where content goes; < 0: nowhere */
	int64_t content_left;		   /* so many bytes may come yet */
	/* Of an extraction: what begins, one after another. */
	const struct wanted_content *wanted;
	size_t wanted_left;
	/* Of a listing. */
	struct layer_log_writer *log; /* borrowed, or NULL */
	struct kept_files *kept;      /* what is kept for later; or NULL */
	int directory;		      /* where files without a name are made */
	struct frame_status status;
};

/* *from* and *to* are borrowed; all else is for the caller to set. Returns: a passage, owned by the
 * caller; or NULL without memory. */
struct passage *passage_new(int from, int to);
void passage_free(struct passage **passage);
DEFINE_CLEANUP(struct passage *, passage_free)

/* Where the bytes of the next frame go, FRAME_BYTES_MAX of them. */
char *passage_room(struct passage *passage);

/* Puts a frame into the empty passage, whose *n* bytes are there already. */
void passage_put_frame(struct passage *passage, enum frame_kind kind, size_t n);

/*
 * Moves all plain bytes of a layer.
 * Returns: 0, with the child's status; -E2BIG: there are more than *plain_left*; -EFBIG: its name
 *	log is too large; -EIO: the child broke the rules; or -errno.
 */
int passage_run(struct passage *passage);
