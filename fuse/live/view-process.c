/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/live/view-process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "fuse/base/clock.h"
#include "fuse/base/json.h"
#include "fuse/base/text.h"
#include "fuse/live/proctitle.h"
#include "fuse/live/view-answer.h"
#include "fuse/process/run-with-timeout.h"
#include "fuse/process/standby.h"
#include "layerindex/array.h"
#include "layerindex/descriptor.h"
#include "layerindex/file/whole.h"

enum {
	FUSE_MAJOR = 10, /* /dev/fuse: Documentation/admin-guide/devices.txt */
	FUSE_MINOR = 229,
	FDS_MAX = 64,	    /* descriptors of a process that are looked at: a view has a few */
	SEARCH_MS = 2000,   /* for all processes */
	TITLE_MS = 200,	    /* for one title */
	TITLES_SKIPPED = 8, /* processes whose titles keep the reader waiting */
	TITLE_MAX = VIEW_ANSWER_MAX + sizeof(PROCTITLE_PREFIX),
};

ssize_t process_read(int proc, const char *name, char *ret, size_t size)
{
	cleanup_close int fd = openat(proc, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);

	if (n < 0)
		return -errno;
	ret[n] = '\0';
	return n;
}

/* Of all processes few go on from here. *standby*: one that stands by counts. */
static bool has_our_name(int proc, bool standby)
{
	char name[32];

	return process_read(proc, "comm", name, sizeof(name)) >= 0 &&
	       (strcmp(name, PROGRAM_NAME "\n") == 0 ||
		(standby && strcmp(name, STANDBY_NAME "\n") == 0));
}

char process_state(int proc, pid_t *ret_parent)
{
	char text[1024];
	const char *end;
	uint64_t parent;

	if (process_read(proc, "stat", text, sizeof(text)) < 0)
		return 0;
	end = strrchr(text, ')');
	if (!end || end[1] != ' ' || !end[2])
		return '\0';
	if (ret_parent) {
		char *number = text + (end - text) + sizeof(") S");

		number[strcspn(number, " ")] = '\0';
		*ret_parent = parse_uint(number, 10, INT_MAX, &parent) < 0 ? 0 : (pid_t)parent;
	}
	return end[2];
}

/* Whether it is root's or *owner*'s, by all of its user ids. */
static bool is_of(int proc, uid_t owner)
{
	static const char key[] = "\nUid:";
	char text[4096];
	char *line, *end;
	unsigned long first;

	if (process_read(proc, "status", text, sizeof(text)) < 0)
		return false;
	line = strstr(text, key);
	if (!line)
		return false;
	line += sizeof(key) - 1;
	first = strtoul(line, &end, 10);
	/* Real, effective, saved, and that for filesystems. */
	for (int i = 0; i < 3 && end > line; i++) {
		line = end;
		if (strtoul(line, &end, 10) != first)
			return false;
	}
	return end > line && (first == 0 || first == owner);
}

/*
 * Whether a descriptor is /dev/fuse: by its name first, since most are not; then by its device,
 * without asking the file, which may lie in a filesystem that hangs.
 * Returns: > 0, 0, or -errno: -EACCES to a process that may list descriptors and not look at them.
 */
static int check_fuse_fd(int fds, const char *number)
{
	static const char name[] = "/fuse";
	const size_t length = sizeof(name) - 1;
	char target[PATH_MAX];
	struct statx stx;
	ssize_t n = readlinkat(fds, number, target, sizeof(target));

	if (n < 0)
		return -errno;
	if ((size_t)n < length || memcmp(target + n - length, name, length) != 0)
		return 0;
	if (statx(fds, number, AT_STATX_DONT_SYNC, STATX_TYPE, &stx) < 0)
		return -errno;
	return S_ISCHR(stx.stx_mode) && stx.stx_rdev_major == FUSE_MAJOR &&
	       stx.stx_rdev_minor == FUSE_MINOR;
}

/* As the kernel packs it for itself (include/linux/kdev_t.h). */
static dev_t device_of(uint64_t connection)
{
	return makedev((unsigned)(connection >> 20), (unsigned)(connection & 0xfffff));
}

dev_t process_connection(int proc, const char *number)
{
	static const char key[] = "\nfuse_connection:\t";
	char path[64], text[1024];
	uint64_t device;
	char *value;

	snprintf(path, sizeof(path), "fdinfo/%.32s", number);
	if (process_read(proc, path, text, sizeof(text)) < 0)
		return 0;
	value = strstr(text, key);
	if (!value)
		return 0;
	value += sizeof(key) - 1;
	value[strcspn(value, "\n")] = '\0';
	return parse_uint(value, 10, UINT32_MAX, &device) < 0 ? 0 : device_of(device);
}

/*
 * Whether a process holds /dev/fuse, as far as the caller may see.
 * Returns: whether it may be a view's, with the device that it serves or 0.
 */
static bool holds_connection(int proc, dev_t *ret)
{
	cleanup_with(close_directory) DIR *fds = open_directory(proc, "fd");
	const struct dirent *entry;
	bool found = false;

	*ret = 0;
	if (!fds)
		return errno == EACCES || errno == EPERM;
	for (int i = 0; i < FDS_MAX && *ret == 0 && (entry = readdir(fds)); i++) {
		int fuse = *entry->d_name == '.' ? 0 : check_fuse_fd(dirfd(fds), entry->d_name);

		if (fuse == -EACCES)
			return true;
		if (fuse <= 0)
			continue;
		found = true;
		*ret = process_connection(proc, entry->d_name);
	}
	return found;
}

/* Looks at a process. Returns: whether it is one that serves a view, or may stand by. */
static bool look_at(int proc, bool standby, uid_t owner, struct view_process *ret)
{
	char state;

	if (!has_our_name(proc, standby) || !is_of(proc, owner) ||
	    !holds_connection(proc, &ret->device))
		return false;
	state = process_state(proc, NULL);
	ret->stopped = state == 'T' || state == 't';
	return state && state != 'Z' && state != 'X';
}

/* Titles */

struct title_reader {
	const struct view_processes *processes;
	size_t next; /* the process whose title is read next */
	int pipe;
};

/* A title on its way; its bytes follow. */
struct title_record {
	size_t item, length;
};

/* The child: announces each title before it reads it, with an empty one. */
static int read_titles(void *argument)
{
	const struct title_reader *reader = argument;
	static char text[TITLE_MAX];

	for (size_t i = reader->next; i < reader->processes->count; i++) {
		struct title_record record = {.item = i};
		struct iovec parts[] = {{&record, sizeof(record)}, {text, 0}};
		char path[32];
		ssize_t n;

		if (writev(reader->pipe, parts, 1) < 0)
			return 1;
		snprintf(path, sizeof(path), "/proc/%d/cmdline", reader->processes->items[i].pid);
		n = process_read(AT_FDCWD, path, text, sizeof(text));
		record.length = n > 0 ? (size_t)n : 0;
		parts[1].iov_len = record.length;
		if (record.length > 0 && writev(reader->pipe, parts, 2) < 0)
			return 1;
	}
	return 0;
}

/* Takes a command line apart; what is no title is none. */
static void take_title(struct view_process *process, const char *text, size_t n)
{
	const char *ready = proctitle_text(text, &n);
	struct view_answer answer = {};
	struct json_object *connection;

	if (!ready || view_answer_parse(ready, n, &answer) < 0)
		return;
	json_done(&process->title);
	process->title = TAKE_PTR(answer.ready);
	connection = json_object_object_get(process->title, "connection");
	process->claimed = device_of(json_object_get_uint64(connection) & UINT32_MAX);
}

/* Takes what one child tells, until it is done or keeps the parent waiting. */
static void take_titles(struct view_processes *processes, int pipe, size_t *next)
{
	static char text[TITLE_MAX + 1];
	struct pollfd readable = {.fd = pipe, .events = POLLIN};
	struct title_record record;

	while (poll(&readable, 1, TITLE_MS) > 0 && read_whole(pipe, &record, sizeof(record)) == 0 &&
	       record.length < TITLE_MAX && record.item < processes->count &&
	       read_whole(pipe, text, record.length) == 0) {
		text[record.length] = '\0';
		*next = record.item + 1;
		if (record.length > 0)
			take_title(&processes->items[record.item], text, record.length);
	}
}

/* Reads the titles; those that keep a reader waiting are not known then. */
static void add_titles(struct view_processes *processes)
{
	size_t next = 0;

	for (int i = 0; i < TITLES_SKIPPED && next < processes->count; i++) {
		struct title_reader reader = {.processes = processes, .next = next};
		cleanup_close int here = -EBADF;
		int ends[2];
		pid_t pid;

		if (pipe2(ends, O_CLOEXEC) < 0)
			return;
		here = ends[0];
		reader.pipe = ends[1];
		pid = run_apart(read_titles, &reader, &ends[1], 1);
		close(ends[1]);
		if (pid < 0)
			return;
		take_titles(processes, here, &next);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, WNOHANG);
	}
}

/* All of them */

static int view_processes_add(struct view_processes *processes, const struct view_process *process)
{
	struct view_process *items = array_grow(processes->items, processes->count,
						&processes->capacity, sizeof(*items));

	if (!items)
		return -ENOMEM;
	processes->items = items;
	processes->items[processes->count++] = *process;
	return 0;
}

int view_processes_find(uid_t owner, bool titles, struct view_processes *ret)
{
	cleanup_with(close_directory) DIR *proc = open_directory(AT_FDCWD, "/proc");
	cleanup_with(view_processes_done) struct view_processes processes = {};
	uint64_t deadline_us = now_us() + SEARCH_MS * UINT64_C(1000);
	const struct dirent *entry;

	if (!proc)
		return -errno;
	while (!processes.partial && (entry = readdir(proc))) {
		struct view_process process = {};
		cleanup_close int fd = -EBADF;
		uint64_t pid;

		if (parse_uint(entry->d_name, 10, INT_MAX, &pid) < 0)
			continue;
		fd = openat(dirfd(proc), entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		process.pid = (pid_t)pid;
		if (fd >= 0 && look_at(fd, false, owner, &process) &&
		    view_processes_add(&processes, &process) < 0)
			return -ENOMEM;
		processes.partial = now_us() > deadline_us;
	}
	if (titles)
		add_titles(&processes);
	*ret = TAKE(processes, (struct view_processes){});
	return 0;
}

void view_processes_done(struct view_processes *processes)
{
	for (size_t i = 0; i < processes->count; i++)
		json_done(&processes->items[i].title);
	free(processes->items);
	*processes = (struct view_processes){};
}

int view_process_open_of(pid_t pid, dev_t device, uid_t owner)
{
	struct view_process process = {};
	/* First: if the number is another process's by the time it is looked at, this one is dead.
	 */
	cleanup_close int pidfd = pidfd_open(pid, 0);
	cleanup_close int proc = -EBADF;
	char path[32];

	if (pidfd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/%d", pid);
	proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0 || !look_at(proc, true, owner, &process) ||
	    (process.device && process.device != device))
		return -ESRCH;
	return TAKE_FD(pidfd);
}

int view_process_open(pid_t pid, dev_t device)
{
	return view_process_open_of(pid, device, geteuid());
}
