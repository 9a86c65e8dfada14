/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three kinds of children that read what an image's author wrote, each confined to its descriptors.
 * A decoder turns one blob into plain bytes. A lister reads one plain archive and hands out its
 * name log: another archive must not be able to change what is known of this one. An unpacker reads
 * name logs and archives, and answers what the tree that they make has at a path. None is believed:
 * the parent hashes what goes between them.
 *
 * The unpacker is told by frames, a header and its bytes, and answers by frames.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "layerindex/blob/toc.h"

enum {
	FRAME_BYTES_MAX = 256 << 10,
	FRAME_TEXT_MAX = 4096, /* of a path, with its NUL */
	EXTRACT_MAX = 8,       /* entries that are extracted at once */
	KEPT_MAX = 4,	       /* files that are kept while an archive is listed */
	KEPT_SIZE_MAX = 1 << 20,
	CHILD_MEMORY_MAX = 1 << 30,
	CHILD_SECONDS_MAX = 600, /* of a processor */
	/* A decoder's, beside a second for each so many bytes of the blob. */
	DECODER_SECONDS = 30,
	DECODER_BYTES_A_SECOND = 4 << 20,
};

enum frame_kind {
	/* To the unpacker. */
	FRAME_LOG = 1, /* a layer's name log follows, in pieces */
	FRAME_PIECE,   /* plain bytes */
	FRAME_END,     /* of the layer */
	FRAME_FIND,    /* a path, ended by a NUL: answered by one FOUND */
	FRAME_EXTRACT, /* struct frame_extract: that layer's archive follows, in pieces */
	FRAME_TABLE,   /* struct frame_table: a layer's table of contents follows, in pieces */
	/* From it. */
	FRAME_STATUS,  /* struct frame_status: after END */
	FRAME_FOUND,   /* struct frame_found */
	FRAME_BEGIN,   /* the content of the next entry to extract follows */
	FRAME_CONTENT, /* bytes of it, or of a file that is kept */
	/* From a lister, which is told a layer's archive, in pieces. */
	FRAME_NAMES, /* bytes of its name log */
	FRAME_KEPT,  /* struct frame_kept: the content of a file follows, for later */
};

struct frame {
	uint32_t kind, size;
};

struct frame_extract {
	uint32_t count;
	uint64_t entries[EXTRACT_MAX]; /* in the archive's order */
};

struct frame_kept {
	uint64_t entry;
	int64_t size;
};

struct frame_table {
	uint32_t form; /* enum toc_form */
};

struct frame_status {
	int32_t result;	  /* 0 or -errno, as apply_layer() */
	char reason[116]; /* ended by a NUL, as the name */
	uint64_t entry;	  /* the archive's, counted from 0, that it came to */
	char name[256];	  /* of it, or its beginning; "": unknown */
};

struct frame_found {
	int32_t result; /* 0 or -errno, as apply_find() */
	uint32_t mode;	/* with its type */
	uint32_t uid, gid;
	int64_t size, seconds;
	uint32_t nanoseconds, layer;
	uint64_t entry;
	struct toc_range range;	   /* of a layer that is known by its table; else zeros */
	char path[FRAME_TEXT_MAX]; /* without a leading slash, links followed; ended by a NUL */
};

/* How a decoder ends. */
enum decoder_status {
	DECODER_DONE,
	DECODER_DAMAGED,
	DECODER_PLAIN_LIMIT,
	DECODER_WINDOW_LIMIT,
	DECODER_SYSTEM,
};

/* What a decoder is to decode, of the blob from the place of its descriptor on. */
struct decoder_work {
	int64_t size;	      /* of it: STREAM_TO_END, or fewer bytes */
	int64_t skip, length; /* the plain bytes to hand out, if there are as many */
	bool table;	      /* not those, but the table of an eStargz that is in them */
};

/* The whole blob. */
#define DECODE_ALL ((struct decoder_work){INT64_MAX, 0, INT64_MAX, false})

/* Starts a decoder of the blob at *blob* that writes into *to*. Returns: a pid, or -errno. */
pid_t decoder_start(int blob, int to, const struct decoder_work *work);

/* Starts an unpacker that is told by *from* and answers into *to*. Returns: a pid, or -errno. */
pid_t unpacker_child_start(int from, int to);

/* Starts a lister likewise: it lists one archive, and ends. */
pid_t lister_child_start(int from, int to);
