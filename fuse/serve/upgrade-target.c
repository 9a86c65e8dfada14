/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/serve/upgrade-target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fuse/base/clock.h"
#include "fuse/base/messages.h"
#include "fuse/base/text.h"
#include "fuse/live/end-process.h"
#include "fuse/live/view-process.h"
#include "fuse/process/self-exe.h"
#include "fuse/serve/state.h"
#include "layerindex/descriptor.h"

enum {
	CHILDREN_SIZE = 256,
	SUPERVISOR_FDS_MAX = 1024, /* that are looked at: it has its caller's, too */
};

static int refuse(const char *why, struct view_error *error)
{
	return view_fail(error, MSG_NOT_UPGRADED, why);
}

/* The same for errno of looking at the process, whose memory only root may read. */
static int refuse_errno(struct view_error *error)
{
	bool denied = errno == EACCES || errno == EPERM;

	return refuse(denied ? "it requires CAP_SYS_PTRACE: run it as root" : strerror(errno),
		      error);
}

/* Its program */

/* Whether *link*, which /proc tells, names a view's program, also one that was replaced. */
static bool is_program_name(char *link)
{
	static const char deleted[] = " (deleted)";
	size_t n = strlen(link), tail = sizeof(deleted) - 1;
	const char *slash;

	if (n > tail && strcmp(link + n - tail, deleted) == 0)
		link[n - tail] = '\0';
	slash = strrchr(link, '/');
	return slash && strcmp(slash + 1, PROGRAM_NAME) == 0;
}

static int check_program(const struct upgrade_target *target, uid_t owner, int program,
			 struct view_error *error)
{
	char link[PATH_MAX];
	struct stat running, installed;
	ssize_t n = readlinkat(target->proc, "exe", link, sizeof(link) - 1);

	if (n < 0 || fstatat(target->proc, "exe", &running, 0) < 0 ||
	    fstat(program, &installed) < 0)
		return errno == ENOENT || errno == ESRCH ? -ESRCH : refuse_errno(error);
	link[n] = '\0';
	if (running.st_dev == installed.st_dev && running.st_ino == installed.st_ino)
		return 0;
	if (!is_program_name(link) || (running.st_uid != 0 && running.st_uid != owner) ||
	    running.st_mode & (S_IWGRP | S_IWOTH))
		return refuse("its process runs another program", error);
	return 0;
}

/* Its user */

/* The numbers of a line of proc_pid_status(5). Returns: how many there are, at most *max*. */
static size_t read_numbers(const char *status, const char *key, uint32_t *ret, size_t max)
{
	const char *line = strstr(status, key);
	size_t n = 0;
	char *end;

	if (!line)
		return 0;
	for (line += strlen(key); n < max; line = end) {
		line += strspn(line, "\t ");
		if (*line < '0' || *line > '9')
			break;
		ret[n++] = (uint32_t)strtoul(line, &end, 10);
	}
	return n;
}

static bool are_equal(const uint32_t *numbers, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (numbers[i] != numbers[0])
			return false;
	return n > 0;
}

static int read_user(struct upgrade_target *target, uid_t owner, struct view_error *error)
{
	struct takeover_call *call = &target->call;
	char status[4096];
	uint32_t uids[4], gids[4];

	if (process_read(target->proc, "status", status, sizeof(status)) < 0)
		return -ESRCH;
	if (read_numbers(status, "\nUid:", uids, 4) != 4 ||
	    read_numbers(status, "\nGid:", gids, 4) != 4 || !are_equal(uids, 4) ||
	    !are_equal(gids, 4) || (uids[0] != owner && uids[0] != 0))
		return refuse("its process is another user's than the mount", error);
	call->uid = uids[0];
	call->gid = gids[0];
	call->group_count =
		(uint32_t)read_numbers(status, "\nGroups:", call->groups, TAKEOVER_GROUPS_MAX);
	return 0;
}

/* Its namespaces */

/* Returns: > 0: it is another one than this process's; 0; or -errno. */
static int has_other(const struct upgrade_target *target, int self, const char *name)
{
	struct stat theirs, ours;

	if (fstatat(target->proc, name, &theirs, 0) < 0 || fstatat(self, name, &ours, 0) < 0)
		return -errno;
	return theirs.st_ino != ours.st_ino || theirs.st_dev != ours.st_dev;
}

static int read_namespaces(struct upgrade_target *target, struct view_error *error)
{
	static const struct {
		const char *name; /* in /proc/PID */
		uint32_t flag;	  /* 0: it must be this process's */
	} namespaces[] = {
		{"ns/pid", 0},
		{"ns/user", 0},
		{"ns/mnt", CLONE_NEWNS},
		{"ns/net", CLONE_NEWNET},
		{"ns/uts", CLONE_NEWUTS},
		{"ns/ipc", CLONE_NEWIPC},
		{"ns/cgroup", CLONE_NEWCGROUP},
	};
	cleanup_close int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (self < 0)
		return refuse(strerror(errno), error);
	for (size_t i = 0; i < sizeof(namespaces) / sizeof(*namespaces); i++) {
		int r = has_other(target, self, namespaces[i].name);

		/* A kernel may lack some. */
		if (r < 0 && r != -ENOENT)
			return r == -ESRCH ? r : refuse_errno(error);
		if (r <= 0)
			continue;
		if (!namespaces[i].flag)
			return refuse("its process is in another PID or user namespace: upgrade it "
				      "from there",
				      error);
		target->call.namespaces |= namespaces[i].flag;
	}
	return 0;
}

/* Its descriptors */

enum kind { CONNECTION, STATE, FILE_TO_READ, OTHER };

static enum kind kind_of(int fd)
{
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fstat(fd, &st) < 0)
		return OTHER;
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(10, 229))
		return CONNECTION;
	if (state_size(fd) >= 0)
		return STATE;
	return S_ISREG(st.st_mode) && (flags & O_ACCMODE) == O_RDONLY ? FILE_TO_READ : OTHER;
}

/* Descriptors as they are found. */
struct found {
	int connection, state; /* owned */
	int files[ARTIFACTS_MAX];
	struct takeover_call *call;
};

static void found_done(struct found *found)
{
	close_keep_errno(found->connection);
	close_keep_errno(found->state);
	for (size_t i = 0; i < ARTIFACTS_MAX; i++)
		close_keep_errno(found->files[i]);
}
DEFINE_CLEANUP(struct found, found_done)

/* Copies a descriptor. Returns: 0, -ESRCH, or < 0 with *error*. */
static int copy_fd(const struct upgrade_target *target, int number, struct found *found,
		   struct view_error *error)
{
	struct takeover_call *call = found->call;
	cleanup_close int fd = pidfd_getfd(target->pidfd, number, 0);
	enum kind kind;

	if (fd < 0)
		return errno == ESRCH || errno == EBADF ? -ESRCH : refuse_errno(error);
	kind = kind_of(fd);
	if (kind == CONNECTION && found->connection < 0) {
		call->connection = number;
		found->connection = TAKE_FD(fd);
	} else if (kind == STATE && found->state < 0) {
		call->state = number;
		found->state = TAKE_FD(fd);
	} else if (kind == FILE_TO_READ && call->file_count < ARTIFACTS_MAX) {
		call->files[call->file_count] = number;
		found->files[call->file_count++] = TAKE_FD(fd);
	} else {
		return refuse("its process is starting, or is no view's", error);
	}
	return 0;
}

static int copy_fds(const struct upgrade_target *target, struct found *found,
		    struct view_error *error)
{
	cleanup_with(close_directory) DIR *fds = open_directory(target->proc, "fd");
	const struct dirent *entry;
	int r = 0;

	if (!fds)
		return errno == ENOENT || errno == ESRCH ? -ESRCH : refuse_errno(error);
	while (r == 0 && (entry = readdir(fds))) {
		uint64_t number;

		if (*entry->d_name == '.')
			continue;
		if (parse_uint(entry->d_name, 10, STATE_FD_MAX, &number) < 0 ||
		    number <= STDERR_FILENO)
			return refuse("its process is starting, or is no view's", error);
		r = copy_fd(target, (int)number, found, error);
	}
	return r;
}

/* Takes the view for this upgrade alone. It ends with the process, or the descriptor. */
static int lock_state(int state, struct view_error *error)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(state, F_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return refuse("another upgrade of it is under way", error);
	return refuse(strerror(errno), error);
}

static int read_fds(struct upgrade_target *target, dev_t device, struct view_error *error)
{
	cleanup_with(found_done) struct found found = {
		.connection = -EBADF,
		.state = -EBADF,
		.files = {-EBADF, -EBADF, -EBADF},
		.call = &target->call,
	};
	cleanup_close int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char number[16];
	dev_t told;
	int r = copy_fds(target, &found, error);

	if (r < 0)
		return r;
	if (found.connection < 0)
		return -ESRCH;
	if (found.state < 0)
		return refuse("its process was started by a version that cannot be upgraded, or is "
			      "starting",
			      error);
	snprintf(number, sizeof(number), "%d", found.connection);
	told = process_connection(self, number);
	if (told && told != device)
		return refuse("its process serves another view", error);
	r = lock_state(found.state, error);
	if (r < 0)
		return r;
	target->fds[target->fd_count++] = TAKE_FD(found.connection);
	target->fds[target->fd_count++] = TAKE_FD(found.state);
	for (uint32_t i = 0; i < target->call.file_count && i < ARTIFACTS_MAX; i++)
		target->fds[target->fd_count++] = TAKE_FD(found.files[i]);
	return 0;
}

/* Its supervisor */

/* Whether a descriptor is the end of the socket at which a supervisor greets. */
static bool is_greeting(int fd)
{
	char text[sizeof(SUPERVISOR_GREETING)];
	int type = 0;
	socklen_t size = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET &&
	       recv(fd, text, sizeof(text), MSG_PEEK | MSG_DONTWAIT) == sizeof(text) &&
	       memcmp(text, SUPERVISOR_GREETING, sizeof(text)) == 0;
}

/* Copies that end, if a process has one. Returns: it, owned, or -EBADF. */
static int copy_greeting(int pidfd, int proc)
{
	cleanup_with(close_directory) DIR *fds = open_directory(proc, "fd");
	const struct dirent *entry;

	for (int i = 0; fds && i < SUPERVISOR_FDS_MAX && (entry = readdir(fds)); i++) {
		cleanup_close int fd = -EBADF;
		char link[16];
		uint64_t number;

		if (parse_uint(entry->d_name, 10, INT_MAX, &number) < 0 ||
		    readlinkat(dirfd(fds), entry->d_name, link, sizeof(link)) < 0 ||
		    strncmp(link, "socket:", sizeof("socket:") - 1) != 0)
			continue;
		fd = pidfd_getfd(pidfd, (int)number, 0);
		if (fd >= 0 && is_greeting(fd))
			return TAKE_FD(fd);
	}
	return -EBADF;
}

/* Finds the supervisor: its parent, which runs the same program. */
static void find_supervisor(struct upgrade_target *target)
{
	cleanup_close int pidfd = -EBADF;
	cleanup_close int proc = -EBADF;
	struct stat theirs, program;
	char path[32];
	pid_t parent;

	if (!process_state(target->proc, &parent) || parent <= 1)
		return;
	pidfd = pidfd_open(parent, 0);
	snprintf(path, sizeof(path), "/proc/%d", parent);
	proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (pidfd < 0 || proc < 0 || fstatat(proc, "exe", &theirs, 0) < 0 ||
	    fstatat(target->proc, "exe", &program, 0) < 0)
		return;
	if (theirs.st_dev != program.st_dev || theirs.st_ino != program.st_ino)
		return;
	target->supervisor = copy_greeting(pidfd, proc);
	target->call.supervisor = target->supervisor >= 0 ? parent : 0;
	/* It is where the old process was. */
	if (target->supervisor >= 0)
		target->call.namespaces = 0;
}

/* All of it */

static int open_process(pid_t pid, dev_t device, uid_t owner, struct upgrade_target *target)
{
	char path[32];

	target->pidfd = view_process_open_of(pid, device, owner);
	if (target->pidfd < 0)
		return -ESRCH;
	snprintf(path, sizeof(path), "/proc/%d", pid);
	target->proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	target->pid = pid;
	return target->proc < 0 ? -ESRCH : 0;
}

/* Goes on to the process that stands by, if there is one. Returns: 0 or -ESRCH. */
static int find_standby(dev_t device, uid_t owner, struct upgrade_target *target)
{
	char name[32];
	pid_t parent;

	if (!process_state(target->proc, &parent))
		return -ESRCH;
	/* A supervisor, or who else started it, does not hold the connection. */
	if (parent > 0) {
		struct upgrade_target above = UPGRADE_TARGET_INIT;

		if (open_process(parent, device, owner, &above) == 0) {
			target_done(target);
			*target = TAKE(above, UPGRADE_TARGET_INIT);
		}
		target_done(&above);
	}
	if (process_read(target->proc, "comm", name, sizeof(name)) < 0)
		return -ESRCH;
	target->stands_by = strcmp(name, STANDBY_NAME "\n") == 0;
	return 0;
}

static bool has_ended(int pidfd)
{
	return process_wait_end(pidfd, 0) == 0;
}

int target_open(pid_t pid, dev_t device, uid_t owner, int program, struct upgrade_target *ret,
		struct view_error *error)
{
	int r = open_process(pid, device, owner, ret);

	if (r == 0)
		r = find_standby(device, owner, ret);
	if (r < 0)
		return r;
	ret->device = device;
	ret->call.version = TAKEOVER_VERSION;
	ret->call.device = minor(device);
	r = check_program(ret, owner, program, error);
	if (r == 0)
		r = read_user(ret, owner, error);
	if (r == 0)
		r = read_namespaces(ret, error);
	if (r == 0)
		r = read_fds(ret, device, error);
	if (r == 0)
		find_supervisor(ret);
	/* Then all that was read is this process's, and no other upgrade was faster. */
	return r == 0 && has_ended(ret->pidfd) ? -ESRCH : r;
}

void target_done(struct upgrade_target *target)
{
	close_keep_errno(target->pidfd);
	close_keep_errno(target->proc);
	close_keep_errno(target->supervisor);
	for (size_t i = 0; i < target->fd_count; i++)
		close_keep_errno(target->fds[i]);
	*target = UPGRADE_TARGET_INIT;
}

/* Its end */

/* Opens its child, which serves. Returns: a pidfd, owned, or -errno. */
static int open_child(const struct upgrade_target *target)
{
	char path[64], text[CHILDREN_SIZE];
	uint64_t pid;

	snprintf(path, sizeof(path), "task/%d/children", target->pid);
	if (process_read(target->proc, path, text, sizeof(text)) < 0)
		return -errno;
	text[strcspn(text, " \n")] = '\0';
	if (parse_uint(text, 10, INT_MAX, &pid) < 0)
		return -ESRCH;
	return view_process_open_of((pid_t)pid, target->device, target->call.uid);
}

/* Ends what serves the connection, and is not *successor*: a child that was not there before. */
static void end_orphan(const struct upgrade_target *target, pid_t successor, uint64_t deadline_us)
{
	cleanup_with(view_processes_done) struct view_processes processes = {};

	if (view_processes_find(target->call.uid, false, &processes) < 0)
		return;
	for (size_t i = 0; i < processes.count; i++) {
		const struct view_process *process = &processes.items[i];
		cleanup_close int pidfd = -EBADF;

		if (process->device != target->device || process->pid == successor)
			continue;
		pidfd = view_process_open_of(process->pid, target->device, target->call.uid);
		if (pidfd >= 0 && pidfd_send_signal(pidfd, SIGKILL, NULL, 0) == 0)
			process_wait_end(pidfd, deadline_us);
	}
}

int target_end(const struct upgrade_target *target, pid_t successor)
{
	cleanup_close int child = target->stands_by ? open_child(target) : -EBADF;
	uint64_t deadline_us = now_us() + END_MS * UINT64_C(1000);
	int r;

	if (pidfd_send_signal(target->pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
		return -errno;
	/*
	 * A child that was not waited for, dead or alive, is the last one: the process that stands
	 * by starts the next one after that, and is killed. Of another one nothing is known.
	 */
	if (child >= 0 && pidfd_send_signal(child, SIGKILL, NULL, 0) < 0)
		child = close_keep_errno(child);
	r = process_wait_end(target->pidfd, deadline_us);
	if (child >= 0)
		return process_wait_end(child, deadline_us) < 0 ? -ETIMEDOUT : r;
	if (target->stands_by)
		end_orphan(target, successor, deadline_us);
	return r;
}
