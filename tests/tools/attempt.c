/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody would try who has taken a process over. */
#include "tests/tools/attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { BEGUN = 1, CAME_BACK };
enum { DESCRIPTORS = 64 }; /* among which is the connection */

static struct result {
	int32_t state, error;
} * result;
static const char *file;
static pid_t neighbour;

__attribute__((constructor)) static void read_environment(void)
{
	const char *pid = getenv("ATTEMPT_PID");
	const char *path = getenv("ATTEMPT_RESULT");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *memory;

	file = getenv("ATTEMPT_FILE");
	neighbour = pid ? (pid_t)strtol(pid, NULL, 10) : 0;
	if (fd < 0 || !file || neighbour <= 0 || ftruncate(fd, sizeof(*result)) < 0)
		_exit(1);
	memory = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		_exit(1);
	result = memory;
	close(fd);
}

static long open_shadow(void)
{
	return open("/etc/shadow", O_RDONLY);
}

static long read_proc(void)
{
	return open("/proc/1/environ", O_RDONLY);
}

static long write_layer(void)
{
	return open(file, O_WRONLY);
}

static long truncate_layer(void)
{
	return truncate(file, 0);
}

static long unlink_layer(void)
{
	return unlink(file);
}

static long chmod_layer(void)
{
	return chmod(file, 0777);
}

static long make_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static long execute(void)
{
	return execl("/bin/true", "true", NULL);
}

static long start_process(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid;
}

static long trace_neighbour(void)
{
	return ptrace(PTRACE_SEIZE, neighbour, NULL, NULL);
}

static long read_neighbour(void)
{
	/* Whether there is something at that address is looked at after who asks. */
	struct iovec here = {&(char){0}, 1}, there = {(void *)read_neighbour, 1};

	return process_vm_readv(neighbour, &here, 1, &there, 1, 0);
}

static long signal_neighbour(void)
{
	return kill(neighbour, SIGKILL);
}

static long mount_something(void)
{
	return mount("none", "/tmp", "tmpfs", 0, NULL);
}

static long enter_user_namespace(void)
{
	return unshare(CLONE_NEWUSER);
}

static long regain_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
		{.effective = 1U << CAP_SYS_ADMIN, .permitted = 1U << CAP_SYS_ADMIN},
	};

	return syscall(SYS_capset, &header, data);
}

static long set_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return clock_settime(CLOCK_REALTIME, &now);
}

static long map_code(void)
{
	void *memory = mmap(NULL, 1, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? -1 : 0;
}

static long change_code(void)
{
	uintptr_t page = (uintptr_t)change_code & ~(uintptr_t)4095;

	return mprotect((void *)page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
}

/* As the x32 ABI counts, under which a call has another number; elsewhere there is no such call. */
static long call_otherwise(void)
{
	return syscall(0x40000000 | SYS_getpid);
}

static long become_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long start_thread(void)
{
	return syscall(SYS_clone, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND, 0, NULL, NULL, 0);
}

/*
 * Drops the name "boot" in the root, by a notification to the kernel. Asked for by a look-up in the
 * root it would wait for itself: the kernel locks the directory for both.
 */
static long drop_name(void)
{
	static char name[] = "boot";
	struct fuse_notify_inval_entry_out entry = {.parent = FUSE_ROOT_ID,
						    .namelen = sizeof(name) - 1};
	struct fuse_out_header header = {.error = FUSE_NOTIFY_INVAL_ENTRY};
	struct iovec parts[] = {
		{&header, sizeof(header)},
		{&entry, sizeof(entry)},
		{name, sizeof(name)},
	};
	long r = -1;

	header.len = (uint32_t)(sizeof(header) + sizeof(entry) + sizeof(name));
	for (int fd = 0; r < 0 && fd < DESCRIPTORS; fd++)
		r = writev(fd, parts, sizeof(parts) / sizeof(*parts));
	return r;
}

static const struct {
	const char *name;
	long (*try)(void);
} attempts[] = {
	{"drop-name", drop_name},
	{"become-dumpable", become_dumpable},
	{"start-thread", start_thread},
	{"open-shadow", open_shadow},
	{"read-proc", read_proc},
	{"write-layer", write_layer},
	{"truncate-layer", truncate_layer},
	{"unlink-layer", unlink_layer},
	{"chmod-layer", chmod_layer},
	{"socket", make_socket},
	{"execute", execute},
	{"start-process", start_process},
	{"trace-neighbour", trace_neighbour},
	{"read-neighbour", read_neighbour},
	{"signal-neighbour", signal_neighbour},
	{"mount", mount_something},
	{"enter-user-namespace", enter_user_namespace},
	{"regain-capabilities", regain_capabilities},
	{"set-time", set_time},
	{"map-code", map_code},
	{"change-code", change_code},
	{"call-otherwise", call_otherwise},
};

static void begin(long (*try)(void))
{
	result->state = BEGUN;
	result->error = try() < 0 ? errno : 0;
	result->state = CAME_BACK;
}

static long number;

static long make_call(void)
{
	return syscall(number, -1L, 0L, 0L, 0L, 0L, 0L);
}

void attempt(const char *name)
{
	if (strncmp(name, "call:", 5) == 0) {
		number = strtol(name + 5, NULL, 10);
		begin(make_call);
	}
	for (size_t i = 0; i < sizeof(attempts) / sizeof(*attempts); i++)
		if (strcmp(attempts[i].name, name) == 0)
			begin(attempts[i].try);
}

int attempt_count(void)
{
	return result->state++;
}
