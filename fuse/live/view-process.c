/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/live/view-process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/sysmacros.h>

#include "fuse/base/array.h"
#include "fuse/base/io.h"
#include "fuse/base/json.h"
#include "fuse/base/text.h"
#include "layerindex/descriptor.h"

/* Reads the beginning of a small file of a process. Returns: 0 or -errno. */
static int read_file(int proc, const char *name, char *ret, size_t size)
{
	cleanup_close int fd = openat(proc, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);

	if (n < 0)
		return -errno;
	ret[n] = '\0';
	return 0;
}

/* Of all processes few go on from here. */
static bool has_our_name(int proc)
{
	char name[32];

	return read_file(proc, "comm", name, sizeof(name)) == 0 &&
	       strcmp(name, PROGRAM_NAME "\n") == 0;
}

/* The letter of proc_pid_stat(5), or 0. */
static char read_state(int proc)
{
	char text[1024];
	const char *end;

	if (read_file(proc, "stat", text, sizeof(text)) < 0)
		return 0;
	end = strrchr(text, ')');
	if (!end || end[1] != ' ')
		return '\0';
	return end[2];
}

static bool is_trusted(int proc)
{
	static const char key[] = "\nUid:";
	char text[4096];
	char *line, *end;
	unsigned long first;

	if (read_file(proc, "status", text, sizeof(text)) < 0)
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
	return end > line && (first == 0 || first == geteuid());
}

/*
 * Whether a descriptor is /dev/fuse, by its name: a call on the file itself might never return.
 * Returns: > 0, 0, or -errno: -EACCES if the caller may list descriptors but not read their links.
 */
static int check_fuse_fd(int fds, const char *number)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(fds, number, target, sizeof(target));
	static const char name[] = "/fuse";
	const ssize_t length = sizeof(name) - 1;

	if (n < 0)
		return -errno;
	return n >= length && memcmp(target + n - length, name, (size_t)length) == 0;
}

/* The kernel's word for the connection that a descriptor is. Returns: 0 or -ENOENT. */
static int read_connection(int proc, const char *number, dev_t *ret)
{
	static const char key[] = "\nfuse_connection:\t";
	char path[64], text[1024];
	char *value;
	uint64_t device;

	snprintf(path, sizeof(path), "fdinfo/%s", number);
	if (read_file(proc, path, text, sizeof(text)) < 0)
		return -ENOENT;
	value = strstr(text, key);
	if (!value)
		return -ENOENT;
	value += sizeof(key) - 1;
	value[strcspn(value, "\n")] = '\0';
	if (parse_uint(value, 10, UINT32_MAX, &device) < 0)
		return -ENOENT;
	/* As the kernel packs it for itself (include/linux/kdev_t.h). */
	*ret = makedev((unsigned)(device >> 20), (unsigned)(device & 0xfffff));
	return 0;
}

/* Returns: > 0: the kernel says what it serves; 0: it may serve something; < 0: it does not. */
static int ask_kernel(int proc, dev_t *ret)
{
	cleanup_with(close_directory) DIR *fds = open_directory(proc, "fd");
	const struct dirent *entry;
	int r = -ENOENT;

	if (!fds)
		return errno == EACCES || errno == EPERM ? 0 : -errno;
	while ((entry = readdir(fds))) {
		int fuse;

		if (*entry->d_name == '.')
			continue;
		fuse = check_fuse_fd(dirfd(fds), entry->d_name);
		if (fuse == -EACCES)
			return 0;
		if (fuse <= 0)
			continue;
		if (read_connection(proc, entry->d_name, ret) == 0)
			return 1;
		r = 0;
	}
	return r;
}

/* Returns: 0; -EINVAL: it has none; -ENOMEM. */
static int read_title(int proc, struct proctitle *ret, struct json_object **ret_ready)
{
	int r = -EINVAL;

	/* Read in the moment when it is replaced, it may be cut off; that happens once. */
	for (int i = 0; r == -EINVAL && i < 3; i++) {
		cleanup_close int fd = openat(proc, "cmdline", O_RDONLY | O_CLOEXEC);
		cleanup_free char *text = NULL;
		size_t n;

		r = fd < 0 ? -EINVAL : read_all(fd, PROCTITLE_SIZE_MAX, &text, &n);
		if (r == 0)
			r = proctitle_parse(text, n, ret, ret_ready);
		else if (r != -ENOMEM)
			r = -EINVAL;
	}
	return r;
}

static void view_process_done(struct view_process *process)
{
	json_done(&process->ready);
}
DEFINE_CLEANUP(struct view_process, view_process_done)

/* Returns: > 0: *ret* is a process; 0: the process is none; < 0: -ENOMEM. */
static int look_at(int proc, dev_t device, struct view_process *ret)
{
	char state;
	int known, r;

	if (!has_our_name(proc))
		return 0;
	known = ask_kernel(proc, &ret->device);
	if (known < 0 || (known > 0 && device && ret->device != device))
		return 0;
	ret->trusted = is_trusted(proc);
	if (ret->trusted) {
		r = read_title(proc, &ret->title, &ret->ready);
		if (r == -ENOMEM)
			return r;
		if (r == 0 && known == 0)
			ret->device = ret->title.device;
		ret->titled = r == 0 && ret->title.device == ret->device;
		if (r == 0 && !ret->titled)
			json_done(&ret->ready);
	}
	state = read_state(proc);
	ret->stopped = state == 'T' || state == 't';
	if (state == 'Z' || state == 'X' || (!known && !ret->titled))
		return 0;
	return !device || ret->device == device;
}

static int view_processes_add(struct view_processes *processes, struct view_process *process)
{
	struct view_process *items = array_grow(processes->items, processes->count,
						&processes->capacity, sizeof(*items));

	if (!items)
		return -ENOMEM;
	processes->items = items;
	processes->items[processes->count++] = TAKE(*process, (struct view_process){});
	return 0;
}

int view_processes_find(dev_t device, struct view_processes *ret)
{
	cleanup_with(close_directory) DIR *proc = open_directory(AT_FDCWD, "/proc");
	cleanup_with(view_processes_done) struct view_processes processes = {};
	const struct dirent *entry;

	if (!proc)
		return -errno;
	while ((entry = readdir(proc))) {
		cleanup_with(view_process_done) struct view_process process = {};
		cleanup_close int fd = -EBADF;
		uint64_t pid;
		int r;

		if (parse_uint(entry->d_name, 10, INT_MAX, &pid) < 0)
			continue;
		fd = openat(dirfd(proc), entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		process.pid = (pid_t)pid;
		r = fd < 0 ? 0 : look_at(fd, device, &process);
		if (r > 0)
			r = view_processes_add(&processes, &process);
		if (r < 0)
			return r;
	}
	*ret = TAKE(processes, (struct view_processes){});
	return 0;
}

void view_processes_done(struct view_processes *processes)
{
	for (size_t i = 0; i < processes->count; i++)
		view_process_done(&processes->items[i]);
	free(processes->items);
	*processes = (struct view_processes){};
}

int view_process_open(pid_t pid, dev_t device)
{
	cleanup_with(view_process_done) struct view_process process = {};
	/* First: if the number is another process's by the time it is looked at, this one is dead.
	 */
	cleanup_close int pidfd = pidfd_open(pid, 0);
	cleanup_close int proc = -EBADF;
	char path[32];
	int r;

	if (pidfd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/%d", pid);
	proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = proc < 0 ? 0 : look_at(proc, device, &process);
	if (r <= 0)
		return r < 0 ? r : -ESRCH;
	return TAKE_FD(pidfd);
}
