/* SPDX-License-Identifier: Apache-2.0 */
/*
 * duties open|identify LAYERS TARGET [FAULTS]: what a view's start owes by its contract, as bare
 * calls.
 *
 * floor.c is the least that any program must do; this adds, in the order in which a view does them,
 * the calls that its promises require. It parses nothing, decides nothing, and links nothing but
 * the C library. What a view takes beyond this is its own code, json-c's and libfuse's. The promise
 * stands at each function; calls that a view makes for libfuse or for itself are not here.
 *
 * "open" opens each layer, as where there is no index; "identify" looks at each beneath the
 * directory that all lie in, as where the index knows them, and opens the first only.
 *
 * With FAULTS it takes so many page faults more, of pages of its own: what it costs a program to be
 * as large as a view, whatever it does.
 */
#include <linux/capability.h>
#include <linux/mount.h>
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
#include <time.h>

#include "bare.h"

enum { STACK_SIZE = 512 << 10, GUARD_SIZE = 64 << 10, PAGE = 4096 };

#define MNT_ID_UNIQUE	0x4000U
#define BACKING_OPEN	_IOW(229, 1, uint64_t[2])
#define STATMOUNT	457
#define STATMOUNT_BASIC 2

extern char __executable_start[], _etext[], _edata[], _end[];

static bool identify;
static char *layers, *target;
static int report[2];
static cpu_set_t allowed;

/* When the call began: it ends within its timeout, and the ready line has elapsed_us. */
static struct timespec now(void)
{
	struct timespec now;

	must(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now), "clock");
	return now;
}

/* musl's open(2) would set O_CLOEXEC once more. */
static int open_file(const char *path, int flags)
{
	return must(openat(AT_FDCWD, path, flags | O_CLOEXEC), path);
}

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

/*
 * The same call is to find its view again: by device, inode, birth and change of each layer. By
 * these a layer that is opened anew is the same, too.
 */
static int open_layers(void)
{
	struct statfs fs;
	int first = -1;

	for (char *layer; (layer = strsep(&layers, ":"));) {
		int fd = open_file(layer, O_PATH | O_DIRECTORY);
		struct statx stx;

		must(statx(fd, "", AT_EMPTY_PATH,
			   STATX_TYPE | STATX_INO | STATX_BTIME | STATX_CTIME, &stx),
		     layer);
		if (first < 0)
			must(fstatfs(first = fd, &fs), layer);
	}
	return first;
}

/* By names from two directories up: as where they are …/snapshots/N/fs. */
static int identify_layers(void)
{
	int first = open_file(strsep(&layers, ":"), O_PATH | O_DIRECTORY);
	char parent[4096];
	int base = -1;

	for (char *layer; (layer = strsep(&layers, ":"));) {
		struct statx stx;
		size_t length;

		if (base < 0) {
			snprintf(parent, sizeof(parent), "%s", layer);
			for (int i = 0; i < 2; i++)
				*strrchr(parent, '/') = '\0';
			base = open_file(parent, O_PATH | O_DIRECTORY);
		}
		length = strlen(parent) + 1;
		must(statx(base, layer + length, AT_STATX_DONT_SYNC,
			   STATX_INO | STATX_BTIME | STATX_CTIME | MNT_ID_UNIQUE, &stx),
		     layer);
	}
	return first;
}

/*
 * Beneath the layer, through no link, and nothing but a file: before it is opened to be read. Its
 * access is never shown wider than an access ACL allows.
 */
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
	fd = open_file(link, O_RDONLY | O_NONBLOCK | O_NOATIME);
	must(fstat(fd, &st), "config");
	fgetxattr(fd, "system.posix_acl_access", bytes, sizeof(bytes));
	must(read(fd, bytes, sizeof(bytes)), "config");
	close(found);
}

/*
 * What is mounted there already is another's; of two callers one has to wait. A dead mount is not
 * opened. Returns: the descriptor of the mountpoint, which is looked up once.
 */
static int claim(const char *path)
{
	int place = open_file(path, O_PATH | O_NOFOLLOW | O_DIRECTORY);
	struct statx stx;

	must(statx(place, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &stx), path);
	must(flock(must(openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), path),
		   LOCK_EX | LOCK_NB),
	     path);
	must(statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, 0, &stx), path);
	return place;
}

static void configure(int context, const char *name, const char *value)
{
	int command = value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

	must(syscall(SYS_fsconfig, context, command, name, value, 0), name);
}

/*
 * A mount that is in no namespace before it can answer. Of the options the kernel insists on four;
 * mountinfo shows the label and the type, and other users have access by their permissions, to read
 * alone.
 */
static int make_mount(int connection)
{
	int context = must(syscall(SYS_fsopen, "fuse", FSOPEN_CLOEXEC), "fsopen");
	char fd[16];
	int made;

	snprintf(fd, sizeof(fd), "%d", connection);
	configure(context, "fd", fd);
	configure(context, "rootmode", "40000");
	configure(context, "user_id", "0");
	configure(context, "group_id", "0");
	configure(context, "source", "duties");
	configure(context, "subtype", "duties");
	configure(context, "default_permissions", NULL);
	configure(context, "allow_other", NULL);
	configure(context, "ro", NULL);
	must(syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0), "create");
	made = must(syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC,
			    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
				    MOUNT_ATTR_NOEXEC),
		    "fsmount");
	close(context);
	return made;
}

/* By which the mount is found again, and no other is taken for it. */
static uint64_t identify_mount(int fd)
{
	struct statx stx;

	must(statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID | MNT_ID_UNIQUE, &stx),
	     "mount");
	return stx.stx_mnt_id;
}

/* Onto the place that was claimed, on no other's mount, and where the path leads still. */
static void attach(int mount, uint64_t id, int place, const char *path)
{
	const struct {
		uint32_t size, spare;
		uint64_t id, mask;
	} request = {sizeof(request), 0, id, STATMOUNT_BASIC};
	char found[512];
	int fd;

	must(syscall(SYS_move_mount, mount, "", place, "",
		     MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH),
	     path);
	identify_mount(place);
	must(syscall(STATMOUNT, &request, found, sizeof(found), 0), "statmount");
	fd = open_file(path, O_PATH);
	identify_mount(fd);
	close(fd);
	close(mount);
}

static int mount_target(const char *path, int place)
{
	int connection = open_file("/dev/fuse", O_RDWR);
	int mount = make_mount(connection);
	uint64_t id = identify_mount(mount);
	uint64_t nothing[2] = {UINT32_MAX};

	answer_init(connection);
	/* Whether files may be passed through. */
	ioctl(connection, BACKING_OPEN, nothing);
	/* With the caller gone, the process has a mount to take away. */
	prctl(PR_SET_PDEATHSIG, 0);
	attach(mount, id, place, path);
	return connection;
}

/* Whoever looks for the view finds it by its process. */
static void set_title(void)
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

	prctl(PR_SET_NAME, "duties");
	*text = 'd';
	map.arg_start = (uintptr_t)text;
	map.arg_end = map.env_start = map.env_end = map.arg_start + 2;
	must(prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0), "title");
}

/* Nothing of the caller's is left, its process group the last: autofs lets it pass. */
static void detach(void)
{
	int null = open_file("/dev/null", O_RDWR);

	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	must(chdir("/"), "/");
	setsid();
	close(null);
}

static void take_faults(long faults)
{
	char *pages = mmap(NULL, (size_t)faults * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (long i = 0; i < faults; i++)
		pages[i * PAGE] = 1;
}

static int serve(void *argument)
{
	struct rlimit limit;
	char path[4096];
	sigset_t none;
	int connection, place;

	(void)argument;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (!realpath(target, path))
		fail(target);
	close_range(3, (unsigned)report[1] - 1, 0);
	close_range((unsigned)report[1] + 1, ~0U, 0);
	check_namespace();
	getrlimit(RLIMIT_NOFILE, &limit);
	read_config(identify ? identify_layers() : open_layers());
	place = claim(path);
	connection = mount_target(path, place);
	now();
	set_title();
	detach();
	must(write(report[1], "r", 1), "report");
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
	if (argc != 4 && argc != 5) {
		fputs("duties: wrong call; see the head of duties.c\n", stderr);
		return 2;
	}
	identify = strcmp(argv[1], "identify") == 0;
	layers = argv[2];
	target = argv[3];
	now();
	if (argc == 5)
		take_faults(atol(argv[4]));
	drop_capabilities();
	launch();
}
