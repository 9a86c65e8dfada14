/* SPDX-License-Identifier: Apache-2.0 */
/* Writing with a time limit, whatever the descriptor is. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Writes all *n* > 0 bytes of *text* into *fd*, whose flags are another process's and stay: a pipe
 * or a socket that is full is waited for; to any other file a child writes, which is given up in
 * time. With the bytes goes the descriptor *passed*, unless negative, over a UNIX socket. Until
 * *deadline_us* (now_us()), or until *interrupt*, unless negative, is readable. SIGPIPE must be
 * blocked. Takes no memory.
 * Returns: 0; -ETIMEDOUT; -EINTR; or what write(2) failed with.
 */
int write_until(int fd, char *text, size_t n, int passed, int interrupt, uint64_t deadline_us);
