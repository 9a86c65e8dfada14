/* SPDX-License-Identifier: Apache-2.0 */
/* musl's sys/stat.h, and statx(2) as the kernel has it, of which musl has nothing or half. */
#pragma once

#define statx		musl_statx
#define statx_timestamp musl_statx_timestamp
#include_next <sys/stat.h>
#undef statx
#undef statx_timestamp

#include <linux/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int statx(int dir, const char *path, int flags, unsigned mask, struct statx *ret)
{
	return (int)syscall(SYS_statx, dir, path, flags, mask, ret);
}
