/* SPDX-License-Identifier: Apache-2.0 */
/* All bytes or an error, where read(2) and writev(2) may stop at a part. */
#pragma once

#include <stddef.h>

/* Reads exactly *n* bytes. Returns: 0; -EPIPE: there are fewer; or what read(2) failed with. */
int read_whole(int fd, void *ret, size_t n);

/*
 * Writes all *n* bytes, by writev(2), which is the call for it that a sandbox leaves. Takes no
 * memory. Returns: 0; -EIO: nothing more is taken; or what writing failed with.
 */
int write_whole(int fd, const void *bytes, size_t n);
