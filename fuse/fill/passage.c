/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/fill/passage.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "layerindex/file/whole.h"

void kept_files_done(struct kept_files *kept)
{
	while (kept->count > 0)
		close(kept->fds[--kept->count]);
}

enum {
	PAGE = 64 << 10, /* the largest that machines have */
	FRAME_ROOM = (sizeof(struct frame) + FRAME_BYTES_MAX + PAGE - 1) / PAGE * PAGE,
	/* A frame begins a page. The last ones of the ring may stay unused, as what the next frame
	 * is written to is not in the pipe. */
	RING_BYTES = PIPE_BYTES + 2 * FRAME_ROOM,
};

struct passage *passage_new(int from, int to)
{
	struct passage *passage = calloc(1, sizeof(*passage));
	void *ring =
		mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!passage || ring == MAP_FAILED) {
		if (ring != MAP_FAILED)
			munmap(ring, RING_BYTES);
		free(passage);
		return NULL;
	}
	/* A decoder, which is started later, must not share what the pipe holds. */
	madvise(ring, RING_BYTES, MADV_DONTFORK);
	*passage = (struct passage){.from = from, .to = to, .out = -EBADF, .ring = ring};
	return passage;
}

void passage_free(struct passage **passage)
{
	if (*passage)
		munmap((*passage)->ring, RING_BYTES);
	free(*passage);
}

char *passage_room(struct passage *passage)
{
	if (passage->next > RING_BYTES - FRAME_ROOM)
		passage->next = 0;
	return passage->ring + passage->next + sizeof(struct frame);
}

void passage_put_frame(struct passage *passage, enum frame_kind kind, size_t n)
{
	struct frame frame = {kind, (uint32_t)n};
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	memcpy(passage_room(passage) - sizeof(frame), &frame, sizeof(frame));
	passage->at = passage->next;
	passage->end = passage->at + sizeof(frame) + n;
	passage->next = (passage->end + page - 1) & ~(page - 1);
}

void blob_tell(const struct opened_blob *blob)
{
	off_t at = blob->tell ? lseek(blob->fd, 0, SEEK_CUR) : -1;

	if (at >= 0)
		blob->tell(blob->context, (uint64_t)at);
}

static int take_plain(struct passage *passage)
{
	char *bytes = passage_room(passage);
	ssize_t n;

	do
		n = read(passage->decoder, bytes, FRAME_BYTES_MAX);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	passage->ended = n == 0;
	passage->plain_left -= n;
	if (passage->plain_left < 0)
		return -E2BIG;
	if (n > 0)
		sha256_add(&passage->hash, bytes, (size_t)n);
	passage_put_frame(passage, n > 0 ? FRAME_PIECE : FRAME_END, (size_t)n);
	if (passage->metered)
		blob_tell(passage->metered);
	return 0;
}

static int pass_on(struct passage *passage)
{
	struct iovec left = {passage->ring + passage->at, passage->end - passage->at};
	ssize_t n = passage->copies ? writev(passage->to, &left, 1)
				    : vmsplice(passage->to, &left, 1, SPLICE_F_NONBLOCK);

	if (n < 0 && !passage->copies && (errno == ENOSYS || errno == EPERM)) {
		passage->copies = true;
		return 0;
	}
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	passage->at += (size_t)n;
	return 0;
}

/* The file at work is not kept after all: it is decoded again if it is asked for. */
static void drop_kept(struct passage *passage)
{
	struct kept_files *kept = passage->kept;

	close(kept->fds[--kept->count]);
	passage->out = -EBADF;
}

static int write_out(struct passage *passage, size_t n)
{
	static char bytes[FRAME_BYTES_MAX];
	int r;

	if (n > sizeof(bytes) || (int64_t)n > passage->content_left)
		return -EIO;
	r = read_whole(passage->from, bytes, n);
	passage->content_left -= (int64_t)n;
	if (r < 0 || passage->out < 0)
		return r;
	r = write_whole(passage->out, bytes, n);
	if (r == 0 || !passage->kept)
		return r;
	drop_kept(passage);
	return 0;
}

/* Goes to the next file that content is for; the one before it must be complete. */
static int begin_content(struct passage *passage, int out, int64_t size)
{
	if (passage->content_left != 0)
		return -EIO;
	passage->out = out;
	passage->content_left = size;
	return 0;
}

static int begin_wanted(struct passage *passage)
{
	const struct wanted_content *wanted = passage->wanted;

	if (passage->wanted_left == 0)
		return -EIO;
	passage->wanted++;
	passage->wanted_left--;
	return begin_content(passage, wanted->out, wanted->size);
}

static int begin_kept(struct passage *passage)
{
	struct kept_files *kept = passage->kept;
	struct frame_kept told;
	int r = read_whole(passage->from, &told, sizeof(told));
	int fd;

	if (r < 0)
		return r;
	if (!kept || kept->count == KEPT_MAX || told.size < 0 || told.size > KEPT_SIZE_MAX)
		return -EIO;
	if (told.size > kept->room)
		return begin_content(passage, -EBADF, told.size);
	fd = openat(passage->directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	kept->room -= told.size;
	kept->entries[kept->count] = told.entry;
	kept->fds[kept->count++] = fd;
	return begin_content(passage, fd, told.size);
}

/* Compresses a part of a name log. */
static int take_names(struct passage *passage, size_t n)
{
	static char bytes[FRAME_BYTES_MAX];
	int r;

	if (n == 0 || n > sizeof(bytes) || !passage->log)
		return -EIO;
	r = read_whole(passage->from, bytes, n);
	return r < 0 ? r : layer_log_writer_add(passage->log, bytes, n);
}

/* Takes an answer. Returns: > 0: it was the last one; 0; or -errno. */
static int take_answer(struct passage *passage)
{
	struct frame frame;
	int r = read_whole(passage->from, &frame, sizeof(frame));

	if (r < 0)
		return r;
	switch (frame.kind) {
	case FRAME_CONTENT: return write_out(passage, frame.size);
	case FRAME_BEGIN: return frame.size == 0 ? begin_wanted(passage) : -EIO;
	case FRAME_KEPT:
		return frame.size == sizeof(struct frame_kept) ? begin_kept(passage) : -EIO;
	case FRAME_NAMES: return take_names(passage, frame.size);
	default: break;
	}
	if (frame.kind != FRAME_STATUS || frame.size != sizeof(passage->status))
		return -EIO;
	r = read_whole(passage->from, &passage->status, sizeof(passage->status));
	passage->status.reason[sizeof(passage->status.reason) - 1] = '\0';
	passage->status.name[sizeof(passage->status.name) - 1] = '\0';
	return r < 0 ? r : 1;
}

int passage_run(struct passage *passage)
{
	int r = 0;

	while (r == 0) {
		bool empty = passage->at == passage->end;
		struct pollfd fds[] = {
			{.fd = passage->from, .events = POLLIN},
			{.fd = empty ? -1 : passage->to, .events = POLLOUT},
			{.fd = empty && !passage->ended ? passage->decoder : -1, .events = POLLIN},
		};

		if (poll(fds, 3, -1) < 0) {
			r = errno == EINTR ? 0 : -errno;
			continue;
		}
		if (fds[0].revents)
			r = take_answer(passage);
		else if (fds[1].revents)
			r = pass_on(passage);
		else if (fds[2].revents)
			r = take_plain(passage);
	}
	/* An answer before the layer's end is none. */
	return r > 0 && passage->ended ? 0 : r < 0 ? r : -EIO;
}
