/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For libfuse as an archive. Its low level mentions character devices in user space, and its
 * archive would bring them along, with the high level, option parsing and dlopen(3) behind them: a
 * tenth of the program. A session of ours is never one of those.
 */
#include <stdlib.h>

void cuse_lowlevel_init(void *req, unsigned long ino, const void *argument);
/* Since libfuse 3.18 both are mentioned. */
void later_cuse_lowlevel_init(void *req, unsigned long ino,
			      const void *argument) __asm__("_cuse_lowlevel_init");

void cuse_lowlevel_init(void *req, unsigned long ino, const void *argument)
{
	(void)req, (void)ino, (void)argument;
	abort();
}

void later_cuse_lowlevel_init(void *req, unsigned long ino, const void *argument)
{
	(void)req, (void)ino, (void)argument;
	abort();
}
