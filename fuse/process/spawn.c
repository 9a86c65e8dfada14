/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/process/spawn.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fuse/process/memory.h"

enum {
	STACK_SIZE = 512 << 10,
	GUARD_SIZE = 64 << 10,
	PROGRAM_STACK_SIZE = 128 << 10,
	STACK_USED = 12 << 10, /* by a start, in most cases */
};

/*
 * AddressSanitizer does not track two processes in one memory, and gcov has no counters of a
 * process that ends without exit(3), as one in shared memory does.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(VIEWFS_COVERAGE)
#define SHARING_IS_TRACKED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SHARING_IS_TRACKED 1
#endif
#endif
#ifndef SHARING_IS_TRACKED
#define SHARING_IS_TRACKED 0
#endif

/* A stack for the child. It is never freed: the child may never end. */
static char *new_stack(void)
{
	char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);

	if (stack == MAP_FAILED)
		return NULL;
	if (mprotect(stack, GUARD_SIZE, PROT_NONE) < 0)
		return NULL;
	memory_populate_below(stack + STACK_SIZE, STACK_USED);
	return stack + STACK_SIZE;
}

/*
 * The processors that the caller may use; none: they were left as they are. Among initialized data,
 * in a page that every view has of its own anyway.
 */
static cpu_set_t allowed __attribute__((section(".data")));

static void keep_to_this_processor(void)
{
	cpu_set_t this;
	unsigned cpu;

	/* Past the vDSO, as in clock_read(). */
	if (syscall(SYS_getcpu, &cpu, NULL, NULL) < 0 ||
	    sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return;
	CPU_ZERO(&this);
	CPU_SET(cpu, &this);
	sched_setaffinity(0, sizeof(this), &this);
}

void spawn_release(void)
{
	if (CPU_COUNT(&allowed) > 0)
		sched_setaffinity(0, sizeof(allowed), &allowed);
}

bool spawn_can_share(void)
{
	return !SHARING_IS_TRACKED;
}

pid_t spawn_program(int (*run)(void *argument), void *argument)
{
	/* One at a time. */
	static char stack[PROGRAM_STACK_SIZE] __attribute__((aligned(16)));
	pid_t pid;

	if (!spawn_can_share())
		return spawn(run, argument, false);
	pid = clone(run, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, argument);
	return pid < 0 ? -errno : pid;
}

pid_t spawn(int (*run)(void *argument), void *argument, bool share)
{
	pid_t pid;

	if (share) {
		char *stack = new_stack();

		if (!stack)
			return -ENOMEM;
		keep_to_this_processor();
		pid = clone(run, stack, CLONE_VM | SIGCHLD, argument);
		return pid < 0 ? -errno : pid;
	}
	pid = fork();
	if (pid == 0)
		_exit(run(argument));
	return pid < 0 ? -errno : pid;
}
