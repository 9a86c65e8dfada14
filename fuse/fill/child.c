/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/fill/child.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fuse/process/run-with-timeout.h"
#include "fuse/process/sandbox.h"
#include "layerindex/file/whole.h"

pid_t child_start(int (*run)(void *child), struct child *child)
{
	const int keep[] = {child->from, child->to};

	child->parent = getpid();
	return run_apart(run, child, keep, 2);
}

int child_confine(const struct child *child)
{
	/* The first ends it by SIGXCPU, which the parent knows it by. */
	const struct rlimit seconds = {child->seconds, child->seconds + 1};
	const int keep[] = {child->from, child->to};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != child->parent)
		return -ESRCH;
	setrlimit(RLIMIT_CPU, &seconds);
#ifdef __GLIBC__
	/* What grows by mremap(2), which the sandbox does not have, grows by brk(2). */
	mallopt(M_MMAP_MAX, 0);
#endif
	sandbox_child(keep, 2, CHILD_MEMORY_MAX);
	return 0;
}

/* Reads what there is of a piece, and goes to the next one at its end. */
static ssize_t read_piece(struct pieces *pieces, void *buffer, size_t n)
{
	struct frame frame;
	ssize_t r;

	while (pieces->left == 0 && !pieces->ended) {
		if (read_whole(pieces->fd, &frame, sizeof(frame)) < 0)
			return -EIO;
		pieces->ended = frame.kind != FRAME_PIECE;
		pieces->left = pieces->ended ? 0 : frame.size;
	}
	if (n > pieces->left)
		n = pieces->left;
	if (n == 0)
		return 0;
	r = read(pieces->fd, buffer, n);
	if (r <= 0)
		return -EIO;
	pieces->left -= (size_t)r;
	return r;
}

/* A header is 512 bytes: most reads are smaller than the buffer. */
ssize_t pieces_source(void *from, void *buffer, size_t n)
{
	struct pieces *pieces = from;
	bool direct = n >= sizeof(pieces->bytes);
	ssize_t r;

	if (pieces->at == pieces->size) {
		r = read_piece(pieces, direct ? buffer : pieces->bytes,
			       direct ? n : sizeof(pieces->bytes));
		if (r <= 0 || direct)
			return r;
		pieces->at = 0;
		pieces->size = (size_t)r;
	}
	if (n > pieces->size - pieces->at)
		n = pieces->size - pieces->at;
	memcpy(buffer, pieces->bytes + pieces->at, n);
	pieces->at += n;
	return (ssize_t)n;
}

static int skip_pieces(struct pieces *pieces)
{
	static char bytes[PIECES_BUFFER];
	ssize_t r;

	do
		r = pieces_source(pieces, bytes, sizeof(bytes));
	while (r > 0);
	return (int)r;
}

int child_answer(const struct child *child, enum frame_kind kind, const void *bytes, size_t n)
{
	struct frame frame = {kind, (uint32_t)n};
	int r = write_whole(child->to, &frame, sizeof(frame));

	return r < 0 ? r : write_whole(child->to, bytes, n);
}

int child_answer_status(const struct child *child, struct pieces *pieces,
			const struct frame_status *status)
{
	int r = skip_pieces(pieces);

	return r < 0 ? r : child_answer(child, FRAME_STATUS, status, sizeof(*status));
}

int child_hand_out(const struct child *child, struct tar *tar)
{
	static char bytes[FRAME_BYTES_MAX];
	ssize_t n;

	while ((n = tar_read(tar, bytes, sizeof(bytes))) > 0) {
		int r = child_answer(child, FRAME_CONTENT, bytes, (size_t)n);

		if (r < 0)
			return r;
	}
	return (int)n;
}
