/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked to viewfsctl's own objects: its decoder and its unpacker as if a blob had taken them over.
 * LIAR says what they do:
 *
 *	decoder:LIE, lister:LIE, unpacker:LIE	see the tables below
 *	decoder:attempt:NAME, unpacker:attempt:NAME	see attempt.h
 *
 * ATTEMPT_RESULT counts the lies. LIAR_BYTES names a file whose content a decoder may hand out.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fuse/fill/child.h"
#include "fuse/fill/frames.h"
#include "layerindex/blob/partial.h"
#include "layerindex/blob/stream.h"
#include "tests/tools/attempt.h"

/* The linker makes two of each, under names of its own (--wrap). */
ssize_t real_stream_read(struct stream *stream, void *buffer,
			 size_t n) __asm__("__real_stream_read");
ssize_t lie_stream_read(struct stream *stream, void *buffer,
			size_t n) __asm__("__wrap_stream_read");
int real_read_log(struct partial *partial, uint32_t layer,
		  struct layer_log *log) __asm__("__real_partial_read_log");
int lie_read_log(struct partial *partial, uint32_t layer,
		 struct layer_log *log) __asm__("__wrap_partial_read_log");
int real_read_table(struct partial *partial, uint32_t layer,
		    struct toc *toc) __asm__("__real_partial_read_table");
int lie_read_table(struct partial *partial, uint32_t layer,
		   struct toc *toc) __asm__("__wrap_partial_read_table");
ssize_t real_tar_read(struct tar *tar, void *buffer, size_t n) __asm__("__real_tar_read");
ssize_t lie_tar_read(struct tar *tar, void *buffer, size_t n) __asm__("__wrap_tar_read");
int real_tar_next(struct tar *tar, struct tar_entry *ret) __asm__("__real_tar_next");
int lie_tar_next(struct tar *tar, struct tar_entry *ret) __asm__("__wrap_tar_next");
ssize_t real_writev(int fd, const struct iovec *parts, int n) __asm__("__real_writev");
ssize_t lie_writev(int fd, const struct iovec *parts, int n) __asm__("__wrap_writev");

enum { BYTES_MAX = 1 << 20 };

static const char *decoder_lie = "", *lister_lie = "", *unpacker_lie = "";
static char bytes[BYTES_MAX];
static size_t bytes_size, bytes_at;

__attribute__((constructor)) static void read_environment(void)
{
	const char *lie = getenv("LIAR"), *path = getenv("LIAR_BYTES");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t n = fd < 0 ? 0 : read(fd, bytes, sizeof(bytes));

	if (fd >= 0)
		close(fd);
	bytes_size = n > 0 ? (size_t)n : 0;
	if (lie && strncmp(lie, "decoder:", 8) == 0)
		decoder_lie = lie + 8;
	else if (lie && strncmp(lie, "lister:", 7) == 0)
		lister_lie = lie + 7;
	else if (lie && strncmp(lie, "unpacker:", 9) == 0)
		unpacker_lie = lie + 9;
	else
		_exit(9);
}

static void spin(void)
{
	for (;;)
		__asm__ volatile("");
}

/* Allocates *n* bytes, once, or ends. */
static void allocate(size_t n)
{
	static void *volatile allocated;

	if (!allocated)
		allocated = malloc(n);
	if (!allocated)
		__builtin_trap();
}

/* What both can do. */
static void misbehave(const char *lie)
{
	if (strncmp(lie, "attempt:", 8) == 0) {
		attempt(lie + 8);
		return;
	}
	attempt_count();
	if (strcmp(lie, "die") == 0)
		__builtin_trap();
	if (strcmp(lie, "spin") == 0)
		spin();
	if (strcmp(lie, "memory") == 0)
		allocate(CHILD_MEMORY_MAX);
	if (strcmp(lie, "half-the-memory") == 0)
		allocate(CHILD_MEMORY_MAX / 2);
}

/* The decoder */

static ssize_t hand_out_bytes(void *buffer, size_t n)
{
	if (n > bytes_size - bytes_at)
		n = bytes_size - bytes_at;
	memcpy(buffer, bytes + bytes_at, n);
	bytes_at += n;
	return (ssize_t)n;
}

ssize_t lie_stream_read(struct stream *stream, void *buffer, size_t n)
{
	static int before = -1, calls;

	if (!*decoder_lie)
		return real_stream_read(stream, buffer, n);
	if (before < 0 && strncmp(decoder_lie, "attempt:", 8) != 0)
		before = attempt_count();
	misbehave(decoder_lie);
	/* Other bytes than the blob's, each time or the first time. */
	if (strcmp(decoder_lie, "other") == 0 ||
	    (strcmp(decoder_lie, "other-once") == 0 && before == 0))
		return hand_out_bytes(buffer, n);
	if (strcmp(decoder_lie, "nothing") == 0)
		return 0;
	if (strcmp(decoder_lie, "end-early") == 0 && calls++ > 0)
		return 0;
	if (strcmp(decoder_lie, "without-end") == 0)
		return (ssize_t)n;
	if (strcmp(decoder_lie, "behind-the-end") == 0) {
		ssize_t r = real_stream_read(stream, buffer, n);

		return r != 0 || calls++ > 0 ? r : hand_out_bytes(buffer, n);
	}
	if (strcmp(decoder_lie, "status") == 0)
		_exit(77);
	return real_stream_read(stream, buffer, n);
}

/* The unpacker */

/* Which of its descriptors is the one to answer into it need not know. */
static void answer(enum frame_kind kind, const void *body, size_t n, uint32_t size)
{
	struct frame frame = {kind, size};
	struct iovec parts[] = {{&frame, sizeof(frame)}, {(void *)(uintptr_t)body, n}};

	for (int fd = 0; fd < 64; fd++)
		if (real_writev(fd, parts, 2) > 0)
			break;
}

static void answer_status(int result)
{
	struct frame_status status = {.result = result};

	answer(FRAME_STATUS, &status, sizeof(status), sizeof(status));
}

static void answer_without_end(enum frame_kind kind)
{
	static const char body[4096];

	for (;;)
		answer(kind, body, sizeof(body), sizeof(body));
}

/* What an unpacker can do while it is told a layer. Returns: > 0: it goes on as it should; or what
 * it says came of the layer. */
static int lie_about_layer(void)
{
	misbehave(unpacker_lie);
	if (strcmp(unpacker_lie, "early") == 0)
		answer_status(0);
	if (strcmp(unpacker_lie, "no-status") == 0)
		answer(77, "", 0, 0);
	if (strcmp(unpacker_lie, "huge") == 0)
		answer(FRAME_CONTENT, "", 0, UINT32_MAX);
	if (strcmp(unpacker_lie, "content-unasked") == 0)
		answer(FRAME_CONTENT, "x", 1, 1);
	if (strcmp(unpacker_lie, "content-without-end") == 0)
		answer_without_end(FRAME_CONTENT);
	if (strcmp(unpacker_lie, "found-without-end") == 0)
		answer_without_end(FRAME_FOUND);
	if (strcmp(unpacker_lie, "accept") == 0)
		return 0;
	return strcmp(unpacker_lie, "result") == 0 ? -12345 : 1;
}

int lie_read_log(struct partial *partial, uint32_t layer, struct layer_log *log)
{
	int r = *unpacker_lie ? lie_about_layer() : 1;

	return r > 0 ? real_read_log(partial, layer, log) : r;
}

int lie_read_table(struct partial *partial, uint32_t layer, struct toc *toc)
{
	int r = *unpacker_lie ? lie_about_layer() : 1;

	return r > 0 ? real_read_table(partial, layer, toc) : r;
}

/* The lister, by an archive that has an entry of the attacker's: that one alone takes it over. */
int lie_tar_next(struct tar *tar, struct tar_entry *ret)
{
	static bool taken;
	int r = real_tar_next(tar, ret);

	taken |= r > 0 && strcmp(ret->name, "etc/evil") == 0;
	if (r <= 0 || !taken || !*lister_lie)
		return r;
	misbehave(lister_lie);
	if (strcmp(lister_lie, "name") == 0)
		ret->name = "unikernel/kernel";
	if (strcmp(lister_lie, "type") == 0)
		ret->type = 'Z';
	if (strcmp(lister_lie, "size") == 0)
		ret->size = INT64_MIN;
	if (strcmp(lister_lie, "garbage") == 0)
		answer(FRAME_NAMES, "garbage", 7, 7);
	if (strcmp(lister_lie, "kept-many") == 0)
		for (int i = 0; i < 100; i++)
			answer(FRAME_KEPT, &(struct frame_kept){0, 1}, sizeof(struct frame_kept),
			       sizeof(struct frame_kept));
	if (strcmp(lister_lie, "kept-large") == 0)
		answer(FRAME_KEPT, &(struct frame_kept){0, INT64_MAX}, sizeof(struct frame_kept),
		       sizeof(struct frame_kept));
	if (strcmp(lister_lie, "names-without-end") == 0)
		answer_without_end(FRAME_NAMES);
	if (strcmp(lister_lie, "begin") == 0)
		answer(FRAME_BEGIN, "", 0, 0);
	if (strcmp(lister_lie, "status") == 0)
		answer_status(0);
	return r;
}

ssize_t lie_tar_read(struct tar *tar, void *buffer, size_t n)
{
	ssize_t r = real_tar_read(tar, buffer, n);

	if (strncmp(unpacker_lie, "content-", 8) == 0)
		attempt_count();
	if (strcmp(unpacker_lie, "content-other") == 0 && r > 0)
		memset(buffer, 'x', (size_t)r);
	if (strcmp(unpacker_lie, "content-short") == 0)
		return 0;
	if (strcmp(unpacker_lie, "content-long") == 0)
		return (ssize_t)n;
	return r;
}

static void change_found(struct frame_found *found)
{
	bool asks = found->result == -EAGAIN;
	static const struct {
		const char *lie;
		struct frame_found found;
	} lies[] = {
		{"layer", {.mode = S_IFREG, .layer = 9999, .size = 1}},
		{"entry", {.mode = S_IFREG, .entry = UINT64_MAX, .size = 1}},
		{"size-negative", {.mode = S_IFREG, .size = -1}},
		{"size-huge", {.mode = S_IFREG, .size = INT64_MAX}},
		{"size-less", {.mode = S_IFREG, .size = 1}},
		{"time", {.mode = S_IFREG, .size = 1, .nanoseconds = UINT32_MAX}},
		{"mode", {.mode = UINT32_MAX}},
		{"find-result", {.result = -12345}},
		{"find-positive", {.result = 12345}},
	};

	/* Of what it asks for, or of what it has read. */
	if (strcmp(unpacker_lie, "unread") == 0 && asks) {
		attempt_count();
		*found = (struct frame_found){.mode = S_IFREG, .size = 1};
	}
	if (strcmp(unpacker_lie, "unread-absent") == 0 && asks) {
		attempt_count();
		*found = (struct frame_found){.result = -ENOENT};
	}
	if (strncmp(unpacker_lie, "ask-be", 6) == 0 && asks) {
		attempt_count();
		found->layer = strcmp(unpacker_lie, "ask-below") == 0 ? 0 : UINT32_MAX;
	}
	if (strcmp(unpacker_lie, "ask-without-end") == 0)
		found->result = -EAGAIN;
	if (asks)
		return;
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++)
		if (strcmp(lies[i].lie, unpacker_lie) == 0)
			*found = lies[i].found;
	if (strcmp(unpacker_lie, "range-elsewhere") == 0)
		found->range.offset = found->range.end = INT64_MAX;
	if (strcmp(unpacker_lie, "range-negative") == 0)
		found->range.offset = found->range.end = found->range.skip = -1;
	if (strcmp(unpacker_lie, "range-none") == 0)
		found->range = (struct toc_range){};
	if (strcmp(unpacker_lie, "path") == 0)
		memset(found->path, 'x', sizeof(found->path));
	if (strcmp(unpacker_lie, "path-climbs") == 0)
		strcpy(found->path, "../../../etc/shadow");
}

ssize_t lie_writev(int fd, const struct iovec *parts, int n)
{
	if (*unpacker_lie && n == 1 && parts->iov_len == sizeof(struct frame_found))
		change_found(parts->iov_base);
	if (n == 1 && parts->iov_len == sizeof(struct frame_status)) {
		struct frame_status *status = parts->iov_base;

		if (strcmp(unpacker_lie, "reason") == 0) {
			attempt_count();
			status->result = -EBADMSG;
			memset(status->reason, '\33', sizeof(status->reason));
		}
	}
	return real_writev(fd, parts, n);
}
