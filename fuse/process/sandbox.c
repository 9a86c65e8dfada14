/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sandboxed process keeps, and why. All the rest is gone.
 *
 *   /dev/fuse             requests are read from it, and answers written to it
 *   the view's state      sealed: another program's process goes on from it (viewfsctl upgrade)
 *   artifacts, to read    only those that the kernel does not pass through (opener.c): what they
 *                         hold is visible in the view anyway
 *   the system calls      in the table `kept` below
 *   MEMORY_MAX            of address space: several times what it has by now; serving takes no more
 *   its user and group    root's: processes of any other user could signal it
 *   its mount namespace   a copy would hold the host's other mounts for a moment, while their
 *                         owners unmount them
 *   signals               none is handled: SIGTERM ends it at once
 *
 * The kernel opens passed-through artifacts with the credentials they were registered with,
 * Landlock included: all must be registered before.
 */
#include "fuse/process/sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fuse/process/fds.h"
#include "layerindex/cleanup.h"

enum { MEMORY_MAX = 64 << 20 };

/* The machines whose system calls the filter knows; 0: it is no such one. */
#if defined(__x86_64__) && !defined(__ILP32__)
#define MACHINE AUDIT_ARCH_X86_64
#elif defined(__AARCH64EL__)
#define MACHINE AUDIT_ARCH_AARCH64
#else
#define MACHINE 0
#endif

/* A sanitizer maps terabytes, makes system calls and writes files of its own; gcov writes files. */
#ifdef VIEWFS_SANITIZED
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

const char sandbox_names[SANDBOX_COUNT][16] = {
	[SANDBOX_PRIVILEGES] = "no_new_privs", [SANDBOX_DESCRIPTORS] = "descriptors",
	[SANDBOX_LANDLOCK] = "landlock",       [SANDBOX_DUMP] = "undumpable",
	[SANDBOX_LIMITS] = "limits",	       [SANDBOX_CAPABILITIES] = "capabilities",
	[SANDBOX_SECCOMP] = "seccomp",
};

/* Whom the sandbox is for. */
enum role { WORKER, STANDBY, SUCCESSOR, TAKEOVER };

struct keep_fds {
	struct sandbox_fds fds;
	size_t memory; /* the address space that is enough */
	enum role role;
};

/* no_new_privs */

static int take_privileges(const struct keep_fds *held)
{
	(void)held;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

/* Descriptors */

static int take_descriptors(const struct keep_fds *held)
{
	return fds_close(STDIN_FILENO, held->fds.fds, held->fds.count);
}

/* Landlock: <linux/landlock.h> of Debian 12 has the first two versions only. */

struct landlock_rules {
	uint64_t fs, net, scoped;
};

enum { LANDLOCK_VERSION = 1 << 0 };

/* The rights that each version brought. A domain that handles them and grants none allows nothing.
 */
static const struct {
	int abi;
	struct landlock_rules rules;
} landlock_versions[] = {
	{1, {.fs = 0x1fff}},  /* execute, read, write, make and remove, of every kind */
	{2, {.fs = 1 << 13}}, /* link and rename elsewhere */
	{3, {.fs = 1 << 14}}, /* truncate */
	{4, {.net = 0x3}},    /* bind and connect TCP */
	{5, {.fs = 1 << 15}}, /* ioctl(2) of devices */
	{6, {.scoped = 0x3}}, /* abstract sockets and signals to the outside */
};

int sandbox_landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);

	return abi < 0 ? 0 : (int)abi;
}

static bool has_landlock(void)
{
	/* Known and allowed, it says that -1 is no ruleset. Without no_new_privs it takes
	 * privilege, which is lacking only where EPERM is no more than that. */
	return !SANITIZED && sandbox_landlock_abi() > 0 &&
	       syscall(SYS_landlock_restrict_self, -1, 0) < 0 && (errno == EBADF || errno == EPERM);
}

static int take_landlock(const struct keep_fds *held)
{
	struct landlock_rules rules = {};
	cleanup_close int fd = -EBADF;
	int abi = sandbox_landlock_abi();

	(void)held;
	for (size_t i = 0; i < sizeof(landlock_versions) / sizeof(*landlock_versions); i++) {
		if (landlock_versions[i].abi > abi)
			break;
		rules.fs |= landlock_versions[i].rules.fs;
		rules.net |= landlock_versions[i].rules.net;
		rules.scoped |= landlock_versions[i].rules.scoped;
	}
	/* An older kernel takes the longer form where what it does not know is zero. */
	fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
	if (fd < 0)
		return -errno;
	return syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : 0;
}

/* Dumps */

static int take_dump(const struct keep_fds *held)
{
	(void)held;
	/* A property of the memory, which no other process shares now. */
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

/* Limits */

static bool has_limits(void)
{
	return !SANITIZED;
}

#ifdef __GLIBC__
typedef __rlimit_resource_t limit_kind;
#else
typedef int limit_kind;
#endif

static int take_limits(const struct keep_fds *held)
{
	const struct {
		limit_kind kind;
		rlim_t max;
	} limits[] = {
		{RLIMIT_CORE, 0},  {RLIMIT_FSIZE, 0},	      {RLIMIT_NOFILE, 0},
		{RLIMIT_NPROC, 0}, {RLIMIT_AS, held->memory},
	};

	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		struct rlimit limit;

		/* It counts all processes of a user; who may start one is seccomp's matter then. */
		if (limits[i].kind == RLIMIT_NPROC && held->role != WORKER)
			continue;
		if (getrlimit(limits[i].kind, &limit) < 0)
			return -errno;
		if (limit.rlim_max > limits[i].max)
			limit.rlim_max = limits[i].max;
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(limits[i].kind, &limit) < 0)
			return -errno;
	}
	return 0;
}

/* Capabilities */

static const uint64_t NEEDED =
	/* To mount, to read trusted.* attributes, and to register artifacts with the kernel. */
	UINT64_C(1) << CAP_SYS_ADMIN |
	/* To find and read layers, whosever they are. */
	UINT64_C(1) << CAP_DAC_READ_SEARCH |
	/* To leave their access times alone (O_NOATIME). */
	UINT64_C(1) << CAP_FOWNER;

/* To ask another user's view as that user (live/ask.h). */
static const uint64_t ASKING = UINT64_C(1) << CAP_SETUID | UINT64_C(1) << CAP_SETGID;

int capabilities_keep(uint64_t kept)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++, kept >>= 32) {
		data[i].effective &= (uint32_t)kept;
		data[i].permitted &= (uint32_t)kept;
		data[i].inheritable &= (uint32_t)kept;
	}
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

void sandbox_early(bool asks)
{
	(void)capabilities_keep(asks ? NEEDED | ASKING : NEEDED);
}

static int take_capabilities(const struct keep_fds *held)
{
	(void)held;
	/* The bounding set limits what running a program gives, and that is nothing by now. */
	return capabilities_keep(0);
}

/*
 * seccomp. Without a library: one for it is 56 µs of every start and 20 kB of every process
 * (libseccomp 2.5, measured), for a program of thirty instructions.
 */

/* Which processes have a call. */
enum {
	STARTING = 1 << STANDBY | 1 << TAKEOVER,
	SURVIVING = STARTING | 1 << SUCCESSOR,
	ALL = SURVIVING | 1 << WORKER,
};
#define ANY UINT32_MAX

static const struct kept_call {
	int call;
	uint32_t argument; /* which its first must be, or ANY */
	unsigned roles;
	bool reading; /* only where artifacts are read through this process */
} kept[] = {
	/* Requests, and their answers. */
	{SYS_read, ANY, ALL, false},
	{SYS_writev, ANY, ALL, false},
	/* The content of the artifacts, and closing them at the end. */
	{SYS_pread64, ANY, ALL, true},
	{SYS_close, ANY, ALL, true},
	/* The socket to the upgrade, when it has done its part. */
	{SYS_close, ANY, 1 << TAKEOVER, false},
	/* malloc(3)'s. With mmap(2), but for memory that can be executed. */
	{SYS_brk, ANY, ALL, false},
	{SYS_munmap, ANY, ALL, false},
	/* Whether the process that stands by is there. */
	{SYS_getppid, ANY, SURVIVING, false},
	/* A child, its end, and what it does before it is one of two. */
	{SYS_clone, STANDBY_CLONE_FLAGS, STARTING, false},
	{SYS_wait4, ANY, STARTING, false},
	{SYS_prctl, PR_SET_PDEATHSIG, STARTING, false},
	{SYS_prctl, PR_SET_NAME, STARTING, false},
	{SYS_seccomp, SECCOMP_SET_MODE_FILTER, STARTING, false},
	/* The end; of a process that was started by clone(2) the first. */
	{SYS_exit, ANY, ALL, false},
	{SYS_exit_group, ANY, ALL, false},
	/* No call: what a tracer makes of one that it has the kernel skip. */
	{-1, ANY, ALL, false},
};

/*
 * What any other call comes to: the end of the process. Nothing in it makes one, so a stranger
 * does; the attacker does not get the errno to try the next one with, and their attempt shows,
 * as SIGSYS, to the audit log. Who has an artifact open that is passed through reads on.
 */
#define REFUSED SECCOMP_RET_KILL_PROCESS

/* The lower half of a system call's argument: both machines have it first. */
#define ARGUMENT(n) offsetof(struct seccomp_data, args[n])

static bool has_seccomp(void)
{
	/* Known and allowed, it looks at the filter next, and there is none. */
	return MACHINE && !SANITIZED &&
	       syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL) < 0 && errno == EFAULT;
}

/* A filter in the making. */
struct filter {
	struct sock_filter program[16 + 5 * (sizeof(kept) / sizeof(*kept))];
	unsigned short length;
};

static void filter_add(struct filter *filter, const struct sock_filter *statements, size_t n)
{
	memcpy(filter->program + filter->length, statements, n * sizeof(*statements));
	filter->length += (unsigned short)n;
}

#define FILTER_ADD(filter, ...)                                       \
	filter_add(filter, (const struct sock_filter[]){__VA_ARGS__}, \
		   sizeof((const struct sock_filter[]){__VA_ARGS__}) / sizeof(struct sock_filter))

/* Allows a call whose number is loaded; what is another one goes on behind, its number loaded. */
static void filter_allow(struct filter *filter, const struct kept_call *call)
{
	if (call->argument == ANY)
		FILTER_ADD(filter, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call->call, 0, 1),
			   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	else
		FILTER_ADD(filter, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call->call, 0, 4),
			   BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(0)),
			   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call->argument, 0, 1),
			   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
			   BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
}

static int take_seccomp(const struct keep_fds *held)
{
	struct filter filter = {};
	struct sock_fprog program = {.filter = filter.program};

	FILTER_ADD(&filter, BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0),
		   BPF_STMT(BPF_RET | BPF_K, REFUSED),
		   BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
		if (kept[i].roles & 1U << held->role && (!kept[i].reading || held->fds.reading))
			filter_allow(&filter, &kept[i]);
	FILTER_ADD(&filter, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0),
		   BPF_STMT(BPF_RET | BPF_K, REFUSED),
		   BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(2)),
		   BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
		   BPF_STMT(BPF_RET | BPF_K, REFUSED),
		   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	program.len = filter.length;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

/* All of them */

static const struct {
	bool (*has)(void); /* NULL: every kernel that views run on has it */
	int (*take)(const struct keep_fds *held);
} measures[SANDBOX_COUNT] = {
	[SANDBOX_PRIVILEGES] = {NULL, take_privileges},
	[SANDBOX_DESCRIPTORS] = {NULL, take_descriptors},
	[SANDBOX_LANDLOCK] = {has_landlock, take_landlock},
	[SANDBOX_DUMP] = {NULL, take_dump},
	[SANDBOX_LIMITS] = {has_limits, take_limits},
	[SANDBOX_CAPABILITIES] = {NULL, take_capabilities},
	[SANDBOX_SECCOMP] = {has_seccomp, take_seccomp},
};

static bool is_possible(int measure)
{
	return !measures[measure].has || measures[measure].has();
}

unsigned sandbox_possible(void)
{
	unsigned possible = 0;

	for (int i = 0; i < SANDBOX_COUNT; i++)
		if (is_possible(i))
			possible |= 1U << i;
	return possible;
}

const char *sandbox_lack(enum sandbox_measure measure)
{
	if (SANITIZED)
		return "this build has a sanitizer";
	if (measure == SANDBOX_SECCOMP && !MACHINE)
		return "not supported on this architecture";
	return "this kernel does not support or permit it";
}

static unsigned take_all(const struct keep_fds *held)
{
	unsigned in_force = 0;

	for (int i = 0; i < SANDBOX_COUNT; i++)
		if (is_possible(i) && measures[i].take(held) == 0)
			in_force |= 1U << i;
	return in_force;
}

unsigned sandbox(const struct sandbox_fds *keep)
{
	return take_all(&(struct keep_fds){*keep, MEMORY_MAX, WORKER});
}

unsigned sandbox_child(const int *keep, size_t n, size_t memory)
{
	return take_all(&(struct keep_fds){{keep, n, false}, memory, WORKER});
}

unsigned sandbox_standby(const struct sandbox_fds *keep)
{
	return take_all(&(struct keep_fds){*keep, MEMORY_MAX, STANDBY});
}

unsigned sandbox_takeover(const struct sandbox_fds *keep)
{
	return take_all(&(struct keep_fds){*keep, MEMORY_MAX, TAKEOVER});
}

int sandbox_narrow_to_successor(bool reading)
{
	return take_seccomp(&(struct keep_fds){.fds.reading = reading, .role = SUCCESSOR});
}

int sandbox_narrow_to_worker(bool reading)
{
	return take_seccomp(&(struct keep_fds){.fds.reading = reading, .role = WORKER});
}

int sandbox_narrow_to_standby(bool reading)
{
	return take_seccomp(&(struct keep_fds){.fds.reading = reading, .role = STANDBY});
}
