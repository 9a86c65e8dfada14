/* SPDX-License-Identifier: Apache-2.0 */
/* musl's unistd.h, close_range(2) and execveat(2). */
#pragma once

#include <sys/syscall.h>
#include_next <unistd.h>

static inline int close_range(unsigned first, unsigned last, int flags)
{
	return (int)syscall(SYS_close_range, first, last, flags);
}

static inline int execveat(int dir, const char *path, char *const argv[], char *const envp[],
			   int flags)
{
	return (int)syscall(SYS_execveat, dir, path, argv, envp, flags);
}
