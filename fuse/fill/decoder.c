/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/fill/decoder.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fuse/fill/child.h"
#include "layerindex/blob/stream.h"
#include "layerindex/file/whole.h"

/* Hands out the plain bytes that are asked for. Returns: 0, or -errno as stream_read(). */
static ssize_t decode_plain(const struct child *child, struct stream *stream)
{
	static char bytes[FRAME_BYTES_MAX];
	const struct decoder_work *work = child->context;
	int64_t skip = work->skip, left = work->length;
	ssize_t n = 0;

	while (left > 0 && (n = stream_read(stream, bytes, sizeof(bytes))) > 0) {
		int64_t skipped = skip < n ? skip : n;
		int64_t wanted = n - skipped < left ? n - skipped : left;

		if (write_whole(child->to, bytes + skipped, (size_t)wanted) < 0)
			return -EPIPE;
		skip -= skipped;
		left -= wanted;
	}
	return n < 0 ? n : 0;
}

/* Hands out the table that is the one file of an archive. Returns: 0 or -errno. */
static ssize_t decode_table(const struct child *child, struct stream *stream)
{
	static char bytes[FRAME_BYTES_MAX];
	struct tar *tar = tar_new(stream_source, stream);
	struct tar_entry entry;
	ssize_t n = tar ? tar_next(tar, &entry) : -ENOMEM;

	if (n == 0 || (n > 0 && strcmp(entry.name, TOC_ESTARGZ_NAME) != 0))
		return -EBADMSG;
	while (n > 0 && (n = tar_read(tar, bytes, sizeof(bytes))) > 0)
		if (write_whole(child->to, bytes, (size_t)n) < 0)
			return -EPIPE;
	return n;
}

static int decode(void *argument)
{
	const struct child *child = argument;
	const struct decoder_work *work = child->context;
	struct stream *stream;
	ssize_t n;

	if (child_confine(child) < 0)
		return DECODER_SYSTEM;
	n = stream_open(child->from, work->size, &stream);
	if (n == 0)
		n = work->table ? decode_table(child, stream) : decode_plain(child, stream);
	/* The process ends: so does what it holds. */
	switch (n) {
	case 0: return DECODER_DONE;
	case -EBADMSG: return DECODER_DAMAGED;
	case -E2BIG: return DECODER_PLAIN_LIMIT;
	case -EFBIG: return DECODER_WINDOW_LIMIT;
	default: return DECODER_SYSTEM;
	}
}

pid_t decoder_start(int blob, int to, const struct decoder_work *work)
{
	struct decoder_work copy = *work;
	struct child child = {
		.from = blob, .to = to, .seconds = CHILD_SECONDS_MAX, .context = &copy};
	struct stat st;

	if (fstat(blob, &st) == 0 && st.st_size / DECODER_BYTES_A_SECOND < CHILD_SECONDS_MAX)
		child.seconds = DECODER_SECONDS + (rlim_t)(st.st_size / DECODER_BYTES_A_SECOND);
	return child_start(decode, &child);
}
