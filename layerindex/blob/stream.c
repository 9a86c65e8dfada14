/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/blob/stream.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "layerindex/blob/gzip.h"

enum { GZIP_MAGIC_SIZE = 2 };

#define SKIPPABLE_MAGIC 0x184D2A50U
#define SKIPPABLE_MASK	0xFFFFFFF0U

enum coding { PLAIN, GZIP, ZSTD };

struct stream {
	int fd;
	int64_t left; /* so many bytes of the blob may be read yet */
	enum coding coding;
	bool ended;   /* nothing more comes out */
	bool between; /* gzip members or zstd frames: where the blob may end */
	int64_t plain;
	size_t at, size;   /* what of *input* is not decoded yet */
	struct gzip *gzip; /* owned, as the next */
	ZSTD_DCtx *zstd;
	unsigned char input[STREAM_PIECE];
};

/* Moves what is left to the front, and reads more. Returns: how many bytes were read, or -errno. */
static ssize_t fill(struct stream *stream)
{
	size_t room;
	ssize_t n;

	memmove(stream->input, stream->input + stream->at, stream->size - stream->at);
	stream->size -= stream->at;
	stream->at = 0;
	room = STREAM_PIECE - stream->size;
	if ((int64_t)room > stream->left)
		room = (size_t)stream->left;
	do
		n = read(stream->fd, stream->input + stream->size, room);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	stream->left -= n;
	stream->size += (size_t)n;
	return n;
}

/* Reads until *n* bytes are there, or all. Returns: 0 or -errno. */
static int fill_to(struct stream *stream, size_t n)
{
	ssize_t r = 1;

	while (r > 0 && stream->size - stream->at < n)
		r = fill(stream);
	return r < 0 ? (int)r : 0;
}

static bool is_gzip(const struct stream *stream)
{
	const unsigned char *bytes = stream->input + stream->at;

	return stream->size - stream->at >= GZIP_MAGIC_SIZE && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

static bool is_zstd(const struct stream *stream)
{
	const unsigned char *bytes = stream->input + stream->at;
	uint32_t magic;

	if (stream->size - stream->at < sizeof(magic))
		return false;
	magic = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
		(uint32_t)bytes[3] << 24;
	return magic == ZSTD_MAGICNUMBER || (magic & SKIPPABLE_MASK) == SKIPPABLE_MAGIC;
}

static int begin(struct stream *stream)
{
	int r = fill_to(stream, sizeof(uint32_t));

	if (r < 0)
		return r;
	if (is_gzip(stream)) {
		stream->coding = GZIP;
		stream->gzip = gzip_new();
		return stream->gzip ? 0 : -ENOMEM;
	}
	if (!is_zstd(stream))
		return 0;
	stream->coding = ZSTD;
	stream->between = true;
	stream->zstd = ZSTD_createDCtx();
	if (!stream->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(stream->zstd, ZSTD_d_windowLogMax,
								 STREAM_WINDOW_LOG_MAX)))
		return -ENOMEM;
	return 0;
}

int stream_open(int fd, int64_t size, struct stream **ret)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	int r;

	if (!stream)
		return -ENOMEM;
	stream->fd = fd;
	stream->left = size;
	r = begin(stream);
	if (r < 0) {
		stream_close(stream);
		return r;
	}
	*ret = stream;
	return 0;
}

void stream_close(struct stream *stream)
{
	if (!stream)
		return;
	gzip_free(stream->gzip);
	ZSTD_freeDCtx(stream->zstd);
	free(stream);
}

/* Members follow one another; what is no member behind the last one is ignored, to the end. */
static int next_member(struct stream *stream)
{
	int r = fill_to(stream, GZIP_MAGIC_SIZE);

	if (r < 0)
		return r;
	if (is_gzip(stream)) {
		gzip_restart(stream->gzip);
		return 0;
	}
	do {
		stream->at = stream->size;
		r = fill_to(stream, 1);
	} while (r == 0 && stream->size > stream->at);
	stream->ended = true;
	return r;
}

static ssize_t read_gzip(struct stream *stream, void *buffer, size_t n)
{
	struct gzip_step step = {
		.in = stream->input + stream->at,
		.in_left = stream->size - stream->at,
		.out = buffer,
		.out_left = n,
	};
	int r = gzip_decode(stream->gzip, &step);

	stream->at = stream->size - step.in_left;
	if (r > 0)
		r = next_member(stream);
	return r < 0 ? r : (ssize_t)(n - step.out_left);
}

static ssize_t read_zstd(struct stream *stream, void *buffer, size_t n)
{
	ZSTD_inBuffer from = {stream->input, stream->size, stream->at};
	ZSTD_outBuffer to = {buffer, n, 0};
	size_t r = ZSTD_decompressStream(stream->zstd, &to, &from);

	if (ZSTD_isError(r)) {
		if (ZSTD_getErrorCode(r) == ZSTD_error_memory_allocation)
			return -ENOMEM;
		return ZSTD_getErrorCode(r) == ZSTD_error_frameParameter_windowTooLarge ? -EFBIG
											: -EBADMSG;
	}
	/* Without input it only says how much it would like to have. */
	if (from.pos > stream->at || to.pos > 0)
		stream->between = r == 0;
	stream->at = from.pos;
	return (ssize_t)to.pos;
}

static ssize_t read_plain(struct stream *stream, void *buffer, size_t n)
{
	size_t left = stream->size - stream->at;

	if (n > left)
		n = left;
	memcpy(buffer, stream->input + stream->at, n);
	stream->at += n;
	return (ssize_t)n;
}

static ssize_t decode(struct stream *stream, void *buffer, size_t n)
{
	switch (stream->coding) {
	case PLAIN: return read_plain(stream, buffer, n);
	case GZIP: return read_gzip(stream, buffer, n);
	case ZSTD: return read_zstd(stream, buffer, n);
	}
	return -EBADMSG;
}

/* There is no more input. Returns: 0: and none is missing; -EBADMSG: the blob is cut. */
static int end(struct stream *stream)
{
	stream->ended = true;
	return stream->coding == PLAIN || stream->between ? 0 : -EBADMSG;
}

ssize_t stream_read(struct stream *stream, void *buffer, size_t n)
{
	ssize_t r = 0;

	if (n > UINT32_MAX)
		n = UINT32_MAX;
	while (r == 0 && n > 0 && !stream->ended) {
		bool empty = stream->at == stream->size;
		ssize_t filled = empty ? fill(stream) : 1;

		if (filled < 0)
			return filled;
		/* A decoder may still hold bytes when it has read all. */
		r = decode(stream, buffer, n);
		if (r == 0 && filled == 0)
			return end(stream);
	}
	if (r > 0 && __builtin_add_overflow(stream->plain, r, &stream->plain))
		return -E2BIG;
	return stream->plain > STREAM_PLAIN_MAX ? -E2BIG : r;
}

ssize_t stream_source(void *stream, void *buffer, size_t n)
{
	return stream_read(stream, buffer, n);
}
