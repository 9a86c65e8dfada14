/* SPDX-License-Identifier: Apache-2.0 */
/* An open descriptor by a path, for system calls that take no descriptor. */
#pragma once

#include <stdio.h>

enum { DESCRIPTOR_PATH = 32 }; /* bytes, with the NUL */

/* Writes the magic link of *fd*: it leads to what is open, whatever that is called by now. */
static inline void descriptor_path(int fd, char ret[static DESCRIPTOR_PATH])
{
	snprintf(ret, DESCRIPTOR_PATH, "/proc/self/fd/%d", fd);
}
