/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain bytes of a layer blob: gzip, zstd, or as it is. Its first bytes decide which, as with
 * containerd, whatever its media type says.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

enum {
	/* The largest window of a zstd frame, as a power of two: as much as containerd accepts. */
	STREAM_WINDOW_LOG_MAX = 28,
	STREAM_PIECE = 64 << 10,
};

/* Plain bytes of one blob. */
#define STREAM_PLAIN_MAX (INT64_C(64) << 30)

/* Of a blob that has the rest of its file. */
#define STREAM_TO_END INT64_MAX

struct stream;

/*
 * Begins to read at the place where *fd* is, which stays the caller's and open, a blob that ends
 * after *size* bytes at most. It reads no more than STREAM_PIECE bytes behind what it decodes.
 * Returns: 0, with a stream that the caller owns; or -errno.
 */
int stream_open(int fd, int64_t size, struct stream **ret);

/* Releases a stream; NULL is ignored. */
void stream_close(struct stream *stream);

/*
 * Reads at most *n* plain bytes.
 * Returns: how many; 0 at the end, when all checksums of the blob were right; -EBADMSG: the blob is
 *	cut or damaged; -E2BIG: it exceeds STREAM_PLAIN_MAX; -EFBIG: a window exceeds
 *	STREAM_WINDOW_LOG_MAX; -ENOMEM; or what read(2) failed with.
 */
ssize_t stream_read(struct stream *stream, void *buffer, size_t n);

/* A tar_source, of a stream. */
ssize_t stream_source(void *stream, void *buffer, size_t n);
