/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/process/standby.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/process/sandbox.h"
#include "fuse/process/self-exe.h"
#include "fuse/process/spawn.h"

enum {
	FORK_TRIES = 100, /* where memory is short; each has the kernel look for some */
	POISON_DEATHS = 2,
};

/* What the process that stands by knows of its children. */
struct record {
	unsigned deaths;    /* by anything but SIGKILL */
	uint64_t last_task; /* of the last of these */
};

/* Written by the kernel in each child: getpid(2) would be one more call that the sandbox allows. */
static volatile pid_t own_pid;

int standby_prepare(struct standby *standby, bool tied)
{
	void *memory = mmap(NULL, sizeof(*standby->task), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return -errno;
	*standby = (struct standby){.task = memory, .tied = tied, .parent = getpid()};
	return 0;
}

/*
 * Past the C library, whose fork(3) makes calls of its own, other ones in each version. No thread
 * and no lock is lost on it: the process has one thread.
 */
static pid_t start_child(void)
{
	volatile pid_t *pid = &own_pid;

#ifdef __aarch64__
	return (pid_t)syscall(SYS_clone, STANDBY_CLONE_FLAGS, 0, NULL, 0, pid);
#else
	return (pid_t)syscall(SYS_clone, STANDBY_CLONE_FLAGS, 0, NULL, pid, 0);
#endif
}

static pid_t start_child_patiently(void)
{
	pid_t pid;
	int i = 0;

	do
		pid = start_child();
	while (pid < 0 && ++i < FORK_TRIES);
	return pid;
}

/* Whether a child is to follow the one that ended so. */
static bool is_to_be_replaced(struct standby *standby, struct record *record, int status)
{
	uint64_t task = *standby->task;
	int signal = WIFSIGNALED(status) ? WTERMSIG(status) : SIGTERM;

	if (signal == SIGTERM || signal == SIGINT)
		return false;
	*standby->task = 0;
	if (signal == SIGKILL)
		return true;
	if (task && task == record->last_task)
		standby->poison = task;
	record->last_task = task;
	return ++record->deaths < DEATHS_MAX;
}

/* In a child. Its parent may have ended before this, unseen. */
static void tie(const struct standby *standby)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!standby_is_there(standby))
		_exit(0);
}

enum standby_role standby_start(struct standby *standby, int *ret)
{
	struct record record = {};
	int status = 0;

	prctl(PR_SET_NAME, STANDBY_NAME);
	do {
		pid_t pid = start_child_patiently();

		if (pid <= 0)
			prctl(PR_SET_NAME, PROGRAM_NAME);
		if (pid < 0 && standby->generation == 0)
			return STANDBY_ALONE;
		standby->generation++;
		if (pid == 0) {
			standby->pid = own_pid;
			if (standby->tied)
				tie(standby);
			return STANDBY_CHILD;
		}
		if (pid < 0)
			break;
		while (wait4(pid, &status, 0, NULL) < 0)
			if (errno != EINTR)
				_exit(KILLED_STATUS);
	} while (is_to_be_replaced(standby, &record, status));
	*ret = WIFSIGNALED(status) ? KILLED_STATUS + WTERMSIG(status) : WEXITSTATUS(status);
	return STANDBY_OVER;
}

bool standby_is_there(const struct standby *standby)
{
	return getppid() == standby->parent;
}
