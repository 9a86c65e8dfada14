/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/live/end.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/base/clock.h"
#include "fuse/base/messages.h"
#include "fuse/live/end-batch.h"
#include "fuse/process/run-with-timeout.h"
#include "layerindex/cleanup.h"
#include "layerindex/file/whole.h"

#if defined(__GNUC__) && !defined(__clang__)
/* The analyzer does not see that endings_done() frees what views_end() stores. */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

enum {
	PLACE_MS = 1000, /* for the way to one place */
	TOTAL_MS = 9000, /* for everything */
};

static int set_error(struct ending *ending, const struct view_error *error)
{
	struct view_error *copy = ending->error ? ending->error : malloc(sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	*copy = *error;
	ending->error = copy;
	return 0;
}

/* Takes what the child tells of a place. Returns: 0; -EPIPE: it is done; -ENOMEM. */
static int take_record(struct ending *endings, bool *finished, int pipe, size_t *current,
		       int *patience_ms)
{
	struct view_error error = {};
	struct end_record record;

	if (read_whole(pipe, &record, sizeof(record)) < 0 || record.length >= MESSAGE_SIZE ||
	    read_whole(pipe, error.message, record.length) < 0)
		return -EPIPE;
	*current = record.item;
	*patience_ms = record.word == END_WAITING ? END_MS + PLACE_MS : PLACE_MS;
	endings[record.item].removed += record.word == END_REMOVED;
	if (record.word != END_FINISHED)
		return 0;
	finished[record.item] = true;
	error.code = record.code;
	return error.code == CODE_NONE ? 0 : set_error(&endings[record.item], &error);
}

/* Follows a child. Returns: 0: it is done; -ETIMEDOUT: *current* keeps it waiting; or -errno. */
static int follow(struct ending *endings, bool *finished, int pipe, uint64_t deadline_us,
		  size_t *current)
{
	struct pollfd readable = {.fd = pipe, .events = POLLIN};
	int patience_ms = PLACE_MS;

	for (;;) {
		int n = poll(&readable, 1, patience_ms);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || now_us() > deadline_us)
			return -ETIMEDOUT;
		r = take_record(endings, finished, pipe, current, &patience_ms);
		if (r < 0)
			return r == -EPIPE ? 0 : r;
	}
}

/* Has one child do what is left. Returns: 0: it is done; or as follow(). */
static int send_child(struct ending *endings, bool *finished, size_t n, uint64_t deadline_us)
{
	struct end_errand errand = {.endings = endings, .finished = finished, .count = n};
	cleanup_close int here = -EBADF;
	size_t current = n;
	int ends[2], r;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	here = ends[0];
	errand.pipe = ends[1];
	pid = run_apart(end_batches, &errand, &ends[1], 1);
	close(ends[1]);
	if (pid < 0)
		return pid;
	r = follow(endings, finished, here, deadline_us, &current);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, r == 0 ? 0 : WNOHANG);
	if (r == -ETIMEDOUT && current < n) {
		VIEW_ERROR(error);

		view_fail(&error, MSG_UNMOUNT_TIMEOUT, endings[current].path, PLACE_MS / 1000);
		finished[current] = true;
		return set_error(&endings[current], &error) < 0 ? -ENOMEM : -ETIMEDOUT;
	}
	return r;
}

int views_end(struct ending *endings, size_t n)
{
	uint64_t deadline_us = now_us() + TOTAL_MS * UINT64_C(1000);
	cleanup_free bool *finished = calloc(n + 1, sizeof(*finished));
	int r = finished ? -ETIMEDOUT : -ENOMEM;

	while (r == -ETIMEDOUT && now_us() < deadline_us)
		r = send_child(endings, finished, n, deadline_us);
	for (size_t i = 0; finished && i < n; i++) {
		VIEW_ERROR(error);

		if (finished[i])
			continue;
		view_fail(&error, MSG_UNMOUNT, endings[i].path, strerror(r < 0 ? -r : EPIPE));
		if (set_error(&endings[i], &error) < 0)
			return -ENOMEM;
	}
	return r == -ENOMEM ? r : 0;
}

void endings_done(struct ending *endings, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(TAKE_PTR(endings[i].error));
}
