/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child writes a record into a pipe before it asks a view, and another one with the answer: so
 * the parent knows which view keeps it waiting.
 */
#include "fuse/live/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/base/clock.h"
#include "fuse/live/view-answer.h"
#include "fuse/mount/fusectl.h"
#include "fuse/mount/mount-api.h"
#include "fuse/mount/mountpoint.h"
#include "fuse/process/run-with-timeout.h"
#include "layerindex/cleanup.h"
#include "layerindex/descriptor.h"
#include "layerindex/file/whole.h"

enum {
	ANSWER_MS = 2000, /* for one view to answer */
	SLICE_MS = 50,	  /* until the others are asked by another child */
	END_MS = 500,	  /* for a child that was killed to end, on a busy machine */
	ASKERS_MAX = 64,  /* children that wait at once */
	BEGUN = 1,	  /* the result in a record that announces a question */
};

/* What the child tells; the answer follows. */
struct record {
	size_t item;
	int result; /* BEGUN, 0 or -errno */
	size_t length;
};

/* A child. */
struct asker {
	pid_t pid;
	int pipe;	   /* owned */
	size_t next;	   /* the question it asks, or will ask next */
	size_t end;	   /* the first one that it does not ask */
	bool waits;	   /* another child asks the questions behind this one */
	uint64_t since_us; /* when it began this one */
};

struct asking {
	struct question *questions;
	size_t count;
	size_t next; /* the first question that no child was given */
	struct asker askers[ASKERS_MAX];
	size_t askers_count;
};

/* The child. */

/*
 * Opens what stands at a question's path: where that is allowed, a copy of the mount, so that
 * umount(8) does not find it busy while the view is asked.
 * Returns: a descriptor (O_PATH, owned) or -errno.
 */
static int open_place(const struct question *question)
{
	cleanup_close int fd = mountpoint_open(question->path);
	int copy;
	struct statx stx;

	if (fd < 0)
		return fd;
	/* With an empty mask nothing is asked of the filesystem, and all of this is told. */
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &stx) < 0)
		return -errno;
	if (stx.stx_mnt_id != question->mount_id ||
	    makedev(stx.stx_dev_major, stx.stx_dev_minor) != question->device)
		return -ESTALE;
	copy = mount_copy(fd);
	return copy < 0 ? TAKE_FD(fd) : copy;
}

/*
 * Waits until no request waits in the view, where the kernel tells that: one more process would
 * wait as long. There are fewer than before where the view answers, however many readers it has.
 * Returns: 0 or -ETIMEDOUT.
 */
static int wait_for_others(int place)
{
	uint64_t deadline_us = now_us() + ANSWER_MS / 2 * UINT64_C(1000);
	uint64_t waiting, before = 0;

	while (fusectl_waiting(place, &waiting) == 0 && waiting > 0 && waiting >= before) {
		if (now_us() > deadline_us)
			return -ETIMEDOUT;
		before = waiting;
		poll(NULL, 0, 1);
	}
	return 0;
}

/* Another user's view answers that user, where it was not mounted for all. Returns: 0 or -errno. */
static int become(const struct question *question)
{
	if (setgroups(0, NULL) < 0 ||
	    setresgid(question->group, question->group, question->group) < 0 ||
	    setresuid(question->owner, question->owner, question->owner) < 0)
		return -errno;
	return 0;
}

static bool is_stranger(const struct question *question)
{
	return question->owner != 0 && question->owner != geteuid();
}

/* Returns: the length of the answer, or -errno. */
static int ask(const struct question *question, char answer[static VIEW_ANSWER_MAX])
{
	cleanup_close int opened = question->path ? open_place(question) : -EBADF;
	int place = question->path ? opened : question->fd;
	cleanup_close int fd = -EBADF;
	char link[DESCRIPTOR_PATH];
	int r = place < 0 ? place : wait_for_others(place);

	if (r == 0 && is_stranger(question))
		r = become(question);
	if (r < 0)
		return r;
	descriptor_path(place, link);
	fd = open(link, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	/* It may say that it wrote more than it did. */
	memset(answer, 0, VIEW_ANSWER_MAX);
	/* Not by ioctl(3), whose request is an int in musl. */
	r = fd < 0 ? -1 : (int)syscall(SYS_ioctl, fd, VIEW_IOC_TELL, answer);
	if (r < 0)
		/* Of one that died while it was asked. */
		return errno == ECONNABORTED ? -ENOTCONN : -errno;
	return r <= VIEW_ANSWER_MAX ? r : -EINVAL;
}

static void tell(int pipe, size_t item, int result, const char *answer, size_t length)
{
	struct record record = {.item = item, .result = result, .length = length};
	struct iovec parts[] = {{&record, sizeof(record)}, {(void *)(uintptr_t)answer, length}};

	/* The parent reads all of it, or is gone. */
	if (writev(pipe, parts, 2) < 0)
		_exit(1);
}

struct errand {
	const struct asking *asking;
	size_t begin, end;
	int pipe;
};

static int run_errand(void *argument)
{
	const struct errand *errand = argument;
	char answer[VIEW_ANSWER_MAX];

	for (size_t i = errand->begin; i < errand->end; i++) {
		int r;

		tell(errand->pipe, i, BEGUN, NULL, 0);
		r = ask(&errand->asking->questions[i], answer);
		tell(errand->pipe, i, r < 0 ? r : 0, answer, r < 0 ? 0 : (size_t)r);
	}
	return 0;
}

/* The parent. */

/* The end of the questions from *begin* on that one child can ask: a stranger's it asks alone. */
static size_t errand_end(const struct asking *asking, size_t begin)
{
	size_t end = begin + 1;

	if (is_stranger(&asking->questions[begin]))
		return end;
	while (end < asking->count && !is_stranger(&asking->questions[end]))
		end++;
	return end;
}

/* Has a child ask the next questions. Returns: 0 or -errno. */
static int start_asker(struct asking *asking)
{
	struct errand errand = {.asking = asking, .begin = asking->next};
	const struct question *first = &asking->questions[asking->next];
	struct asker *asker = &asking->askers[asking->askers_count];
	int ends[2];
	pid_t pid;

	errand.end = errand_end(asking, asking->next);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	errand.pipe = ends[1];
	pid = run_apart(run_errand, &errand, (int[]){ends[1], first->fd}, first->path ? 1 : 2);
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return pid;
	}
	*asker = (struct asker){
		.pid = pid,
		.pipe = ends[0],
		.next = errand.begin,
		.end = errand.end,
		.since_us = now_us(),
	};
	asking->askers_count++;
	asking->next = errand.end;
	return 0;
}

/* As long as a child has not ended it may keep umount(8) from the mount that it asked. */
static void await_end(pid_t pid, int ms)
{
	cleanup_close int pidfd = pidfd_open(pid, 0);
	struct pollfd end = {.fd = pidfd, .events = POLLIN};

	poll(&end, 1, ms);
	waitpid(pid, NULL, WNOHANG);
}

/* Ends a child, or leaves it alone where it cannot end. */
static void drop_asker(struct asking *asking, size_t i)
{
	struct asker *asker = &asking->askers[i];

	/* What it was to ask, and did not: as far as no other one was told to. */
	if (!asker->waits)
		asking->next = asker->next;
	kill(asker->pid, SIGKILL);
	close(asker->pipe);
	/* One that hangs is not waited for. */
	await_end(asker->pid, asker->waits ? 0 : END_MS);
	*asker = asking->askers[--asking->askers_count];
}

/* Takes a record of a child. Returns: whether there are more to come. */
static bool take_record(struct asking *asking, struct asker *asker)
{
	struct question *question;
	struct record record;

	if (read_whole(asker->pipe, &record, sizeof(record)) < 0 || record.item != asker->next) {
		/* It died of this question. */
		asker->next++;
		return false;
	}
	asker->since_us = now_us();
	if (record.result == BEGUN)
		return true;
	question = &asking->questions[asker->next++];
	question->result = record.result;
	if (record.result == 0) {
		cleanup_free char *answer = malloc(record.length + 1);

		if (!answer || read_whole(asker->pipe, answer, record.length) < 0) {
			question->result = -ENOMEM;
			return false;
		}
		answer[record.length] = '\0';
		question->answer = TAKE_PTR(answer);
		question->length = record.length;
	}
	return asker->next < asker->end && !asker->waits;
}

/* Whether a child has been waiting for *ms*. */
static bool has_waited(const struct asker *asker, int ms, uint64_t now)
{
	return now >= asker->since_us + (uint64_t)ms * 1000;
}

/* Looks after the children that wait too long. */
static void check_times(struct asking *asking)
{
	uint64_t now = now_us();

	for (size_t i = asking->askers_count; i-- > 0;) {
		struct asker *asker = &asking->askers[i];

		if (has_waited(asker, ANSWER_MS, now)) {
			/* It keeps the result that it has: -ETIMEDOUT. */
			asker->next++;
			drop_asker(asking, i);
		} else if (!asker->waits && has_waited(asker, SLICE_MS, now) &&
			   asking->askers_count < ASKERS_MAX) {
			/* Another one asks the rest. */
			asker->waits = true;
			asking->next = asker->next + 1;
		}
	}
}

static bool has_active(const struct asking *asking)
{
	for (size_t i = 0; i < asking->askers_count; i++)
		if (!asking->askers[i].waits)
			return true;
	return false;
}

/* Waits for the children, and takes what they tell. */
static void attend(struct asking *asking)
{
	struct pollfd fds[ASKERS_MAX];
	size_t n = asking->askers_count;

	for (size_t i = 0; i < n; i++)
		fds[i] = (struct pollfd){.fd = asking->askers[i].pipe, .events = POLLIN};
	poll(fds, n, SLICE_MS / 2);
	for (size_t i = n; i-- > 0;)
		if (fds[i].revents && !take_record(asking, &asking->askers[i]))
			drop_asker(asking, i);
	check_times(asking);
}

int ask_all(struct question *questions, size_t n, uint64_t deadline_us)
{
	struct asking asking = {.questions = questions, .count = n};
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		questions[i].answer = NULL;
		questions[i].result = -ETIMEDOUT;
	}
	while (r == 0 && now_us() < deadline_us) {
		if (asking.next < n && !has_active(&asking) && asking.askers_count < ASKERS_MAX)
			r = start_asker(&asking);
		if (asking.askers_count == 0 && asking.next >= n)
			break;
		attend(&asking);
	}
	while (asking.askers_count > 0)
		drop_asker(&asking, asking.askers_count - 1);
	return r;
}
