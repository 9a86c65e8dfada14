/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/process/inherited.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MASK_SIZE = 8 }; /* bytes: the kernel's 64 signals */

/* Past the C library, which does not let two real-time signals be blocked. */
static void set_mask(const sigset_t *set)
{
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, set, NULL, MASK_SIZE);
}

/* All but faults, which end a process wherever they are blocked, and job control. */
static sigset_t blockable(void)
{
	static const unsigned char not [] = {SIGSEGV, SIGBUS,  SIGFPE,	SIGILL,	 SIGTRAP, SIGABRT,
					     SIGSYS,  SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT};
	sigset_t set;

	memset(&set, 0xff, sizeof(set));
	for (size_t i = 0; i < sizeof(not ); i++)
		sigdelset(&set, not [i]);
	return set;
}

void inherited_settle(void)
{
	sigset_t set = blockable();

	set_mask(&set);
	signal(SIGTERM, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	umask(022);
}

static bool is_ignored(int number)
{
	struct sigaction action;

	return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

int signals_open(bool terminal, bool children)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (terminal) {
		sigaddset(&set, SIGQUIT);
		if (!is_ignored(SIGHUP))
			sigaddset(&set, SIGHUP);
	}
	if (children)
		sigaddset(&set, SIGCHLD);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int signals_read(int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) == sizeof(info))
		return (int)info.ssi_signo;
	return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

void signals_of_server(bool interrupt)
{
	sigset_t set = blockable();

	sigdelset(&set, SIGTERM);
	sigdelset(&set, SIGCHLD);
	if (interrupt)
		sigdelset(&set, SIGINT);
	set_mask(&set);
}

void signals_of_program(void)
{
	sigset_t none;

	sigemptyset(&none);
	set_mask(&none);
}
