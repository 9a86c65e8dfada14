/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptors that a process inherits. */
#pragma once

#include <stddef.h>

/*
 * Opens /dev/null wherever the caller closed stdin, stdout or stderr, so that nothing else that is
 * opened later is taken for one of them. Returns: 0 or -errno.
 */
int fds_fill_stdio(void);

/*
 * Closes every descriptor from *first* on but for the *n* in *keep*. Returns: 0, or -errno
 * of listing them, which takes /proc, before Linux 5.9.
 */
int fds_close(int first, const int *keep, size_t n);
