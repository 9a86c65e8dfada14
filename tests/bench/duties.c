/* SPDX-License-Identifier: Apache-2.0 */
/*
 * duties open|identify LAYERS TARGET: what a view's start owes by its contract, as bare calls.
 *
 * floor.c is the least that any program must do; this adds, in the order in which a view does them,
 * the calls that its promises take, and still parses nothing, decides nothing and links nothing
 * that it could use. What a view takes beyond this is its own code, json-c's and libfuse's.
 *
 * "open" opens each layer, as where there is no index; "identify" looks at each beneath the
 * directory that all lie in, as where the index knows them, and opens the first only.
 */
#include <linux/capability.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "bare.h"

enum { STACK_SIZE = 512 << 10, GUARD_SIZE = 64 << 10 };

#define MNT_ID_UNIQUE 0x4000U
#define BACKING_OPEN  _IOW(229, 1, uint64_t[2])

extern char __executable_start[], _etext[], _edata[], _end[];

static bool identify;
static char *layers, *target;
static bool *mounting;
static int report[2];
static cpu_set_t allowed;

/* Nothing is held that is not needed, not for a moment. */
static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};

	must(syscall(SYS_capget, &header, data), "capget");
	data[0].effective = data[0].permitted =
		1U << CAP_SYS_ADMIN | 1U << CAP_DAC_READ_SEARCH | 1U << CAP_FOWNER;
	data[0].inheritable = data[1].effective = data[1].permitted = data[1].inheritable = 0;
	must(syscall(SYS_capset, &header, data), "capset");
}

/* Whether marks in trusted.* can be seen at all. */
static void check_namespace(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
	struct stat st;

	must(stat("/proc/self/ns/user", &st), "/proc");
	must(syscall(SYS_capget, &header, data), "capget");
}

/* The same call is to find its view again, and a layer that is opened anew to be the same. */
static int open_layers(void)
{
	struct statfs fs;
	int first = -1;

	for (char *layer; (layer = strsep(&layers, ":"));) {
		int fd = must(open(layer, O_PATH | O_DIRECTORY | O_CLOEXEC), layer);
		struct stat st;

		must(fstat(fd, &st), layer);
		if (first < 0)
			must(fstatfs(first = fd, &fs), layer);
	}
	return first;
}

/* By names from two directories up: as where they are …/snapshots/N/fs. */
static int identify_layers(void)
{
	int first = must(open(strsep(&layers, ":"), O_PATH | O_DIRECTORY | O_CLOEXEC), "layer");
	char parent[4096];
	int base = -1;

	for (char *layer; (layer = strsep(&layers, ":"));) {
		struct statx stx;
		size_t length;

		if (base < 0) {
			snprintf(parent, sizeof(parent), "%s", layer);
			for (int i = 0; i < 2; i++)
				*strrchr(parent, '/') = '\0';
			base = must(open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC), parent);
		}
		length = strlen(parent) + 1;
		must(statx(base, layer + length, AT_STATX_DONT_SYNC,
			   STATX_INO | STATX_BTIME | STATX_CTIME | MNT_ID_UNIQUE, &stx),
		     layer);
	}
	return first;
}

/* Beneath the layer, through no link, and nothing but a file: before it is opened to be read. */
static void read_config(int layer)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
			   RESOLVE_NO_XDEV,
	};
	int found = must(syscall(SYS_openat2, layer, "urunc.json", &how, sizeof(how)), "config");
	char link[32], bytes[4096];
	struct stat st;
	int fd;

	must(fstat(found, &st), "config");
	snprintf(link, sizeof(link), "/proc/self/fd/%d", found);
	getxattr(link, "trusted.overlay.metacopy", NULL, 0);
	fd = must(open(link, O_RDONLY | O_NONBLOCK | O_NOATIME | O_CLOEXEC), "config");
	must(fstat(fd, &st), "config");
	must(read(fd, bytes, sizeof(bytes)), "config");
	close(found);
}

/* What is mounted there already is another's; of two callers one has to wait. */
static void claim(const char *path)
{
	struct statx stx;
	int fd;

	must(statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, 0, &stx), path);
	fd = must(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), path);
	must(flock(fd, LOCK_EX | LOCK_NB), path);
	must(statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, 0, &stx), path);
}

static int mount_target(const char *path)
{
	const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
	int connection = mount_and_answer(path, flags);
	uint64_t nothing[2] = {UINT32_MAX};

	/* Whether files may be passed through. */
	ioctl(connection, BACKING_OPEN, nothing);
	return connection;
}

/* Whoever looks for the view finds it by its process. */
static void set_title(const char *path)
{
	uintptr_t end = (uintptr_t)_end, heap = (uintptr_t)sbrk(0);
	struct prctl_mm_map map = {
		.start_code = (uintptr_t)__executable_start,
		.end_code = (uintptr_t)_etext,
		.start_data = (uintptr_t)_etext,
		.end_data = (uintptr_t)_edata,
		.start_brk = end < heap ? end : heap,
		.brk = heap,
		.start_stack = getauxval(AT_RANDOM),
		.exe_fd = (uint32_t)-1,
	};
	char *text = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct statx stx;

	must(statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, 0, &stx), path);
	prctl(PR_SET_NAME, "duties");
	*text = 'd';
	map.arg_start = (uintptr_t)text;
	map.arg_end = map.env_start = map.env_end = map.arg_start + 2;
	must(prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0), "title");
}

/* Nothing of the caller's is left. */
static void detach(void)
{
	int null = must(open("/dev/null", O_RDWR | O_CLOEXEC), "/dev/null");

	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	must(chdir("/"), "/");
	close(null);
}

static int serve(void *argument)
{
	struct rlimit limit;
	char path[4096];
	sigset_t none;
	int connection;

	(void)argument;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if (!realpath(target, path))
		fail(target);
	close_range(3, (unsigned)report[1] - 1, 0);
	close_range((unsigned)report[1] + 1, ~0U, 0);
	check_namespace();
	getrlimit(RLIMIT_NOFILE, &limit);
	read_config(identify ? identify_layers() : open_layers());
	claim(path);
	*mounting = true;
	prctl(PR_SET_PDEATHSIG, 0);
	connection = mount_target(path);
	set_title(path);
	detach();
	must(write(report[1], "r", 1), "report");
	sched_yield();
	sched_setaffinity(0, sizeof(allowed), &allowed);
	refuse_requests(connection);
	return 0;
}

/* For a caller who waits so long and no longer, whatever holds the process that serves. */
static void launch(void)
{
	char *stack =
		mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct pollfd fds[2] = {{.events = POLLIN}, {.events = POLLIN}};
	cpu_set_t this;
	sigset_t set;
	char word;

	mounting = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_SETMASK, &set, NULL);
	fds[1].fd = must(signalfd(-1, &set, SFD_CLOEXEC), "signalfd");
	must(pipe2(report, O_CLOEXEC), "pipe");
	fds[0].fd = report[0];
	must(mprotect(stack, GUARD_SIZE, PROT_NONE), "stack");
	/* To be woken once, on this processor, is quicker than to be met on another. */
	sched_getaffinity(0, sizeof(allowed), &allowed);
	CPU_ZERO(&this);
	CPU_SET(sched_getcpu(), &this);
	sched_setaffinity(0, sizeof(this), &this);
	must(clone(serve, stack + STACK_SIZE, CLONE_VM | SIGCHLD, NULL), "clone");
	close(report[1]);
	must(poll(fds, 2, 10000), "poll");
	_exit(read(report[0], &word, 1) == 1 ? 0 : 1);
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fputs("duties: wrong call; see the head of duties.c\n", stderr);
		return 2;
	}
	identify = strcmp(argv[1], "identify") == 0;
	layers = argv[2];
	target = argv[3];
	drop_capabilities();
	launch();
}
