/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name log of a layer: all that its archive says of its files but their content, in the
 * archive's order. Unpacking by it needs no archive. It is kept compressed by zstd; the format is
 * that of urunc-viewfs-store(5).
 */
#pragma once

#include "layerindex/blob/tar.h"

enum {
	LAYER_LOG_HEADER = 8,
	LAYER_LOG_RECORD = 56, /* bytes of a record without its texts */
	/* The most compressed bytes of a log that is kept: some million entries. */
	LAYER_LOG_KEPT_MAX = 8 << 20,
	/* And of one that is not: 10 million entries are too many. */
	LAYER_LOG_SIZE_MAX = 64 << 20,
};

/* What a log begins with. */
extern const char layer_log_header[LAYER_LOG_HEADER];

/* A record, without the name and the link's target, which follow it. */
void layer_log_encode(const struct tar_entry *entry, uint8_t ret[LAYER_LOG_RECORD]);

/* Reads a log, which may hold any bytes. */
struct layer_log;

/* Returns: a reader, owned by the caller; or NULL without memory. */
struct layer_log *layer_log_new(tar_source source, void *from);

/* Releases a reader; NULL is ignored. */
void layer_log_free(struct layer_log *log);

/*
 * Goes to the next file, whose texts belong to the reader until the next call.
 * Returns: 1, with the file in *ret; 0 at the end; -EBADMSG: it is no log, or is damaged; -ENOMEM;
 *	or what the source returned.
 */
int layer_log_next(struct layer_log *log, struct tar_entry *ret);

/* Compresses a log into a file. */
struct layer_log_writer;

/* *fd* is the caller's. Returns: a writer, owned by the caller; or NULL without memory. */
struct layer_log_writer *layer_log_writer_new(int fd);

/* Releases a writer; NULL is ignored. */
void layer_log_writer_free(struct layer_log_writer *writer);

/*
 * Adds plain bytes of the log, or ends it if *n* is 0.
 * Returns: 0; -EFBIG: it has more than LAYER_LOG_SIZE_MAX bytes; or what writing failed with.
 */
int layer_log_writer_add(struct layer_log_writer *writer, const void *bytes, size_t n);
