/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process that fills the store and its confined children tell each other: a header, and its
 * bytes.
 */
#pragma once

#include <stdint.h>

#include "layerindex/blob/toc.h"

enum {
	FRAME_BYTES_MAX = 256 << 10,
	FRAME_TEXT_MAX = 4096, /* of a path, with its NUL */
	EXTRACT_MAX = 8,       /* entries that are extracted at once */
	KEPT_MAX = 16,	       /* files that are kept while an archive is listed */
	KEPT_SIZE_MAX = 512 << 20,
};

enum frame_kind {
	/* To the unpacker. */
	FRAME_LOG = 1, /* struct frame_layer: its name log follows, in pieces */
	FRAME_PIECE,   /* plain bytes */
	FRAME_END,     /* of the layer */
	FRAME_EXPECT,  /* a path, ended by a NUL, that FIND will ask for */
	FRAME_FIND,    /* the same: answered by one FOUND */
	FRAME_EXTRACT, /* struct frame_extract: that layer's archive follows, in pieces */
	FRAME_TABLE,   /* struct frame_layer: its table of contents follows, in pieces */
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

struct frame_layer {
	uint32_t layer; /* counted from the bottom */
	uint32_t form;	/* of its table: enum toc_form */
};

struct frame_status {
	int32_t result;	  /* 0 or -errno, as partial_read_log() */
	char reason[116]; /* ended by a NUL, as the name */
	uint64_t entry;	  /* the archive's, counted from 0, that it came to */
	char name[256];	  /* of it, or its beginning; "": unknown */
};

struct frame_found {
	int32_t result; /* 0 or -errno, as partial_find() */
	uint32_t mode;	/* with its type */
	uint32_t uid, gid;
	int64_t size, seconds;
	uint32_t nanoseconds;
	uint32_t layer; /* that has it, that must be read, or that is refused */
	uint64_t entry;
	struct frame_status status; /* why it is refused */
	struct toc_range range;	    /* of a layer that is known by its table; else zeros */
	char path[FRAME_TEXT_MAX];  /* without a leading slash, links followed; ended by a NUL */
};
