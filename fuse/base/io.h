/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing all of something. */
#pragma once

#include <stddef.h>

/*
 * Reads all of *fd*, at most *max* bytes, whatever its size claims to be.
 * Returns: 0, with an owned text in *ret that is ended by a NUL that does not count; -EFBIG: there
 *	is more; -ENOMEM; or what read(2) failed with.
 */
int read_all(int fd, size_t max, char **ret, size_t *ret_size);

/* Reads exactly *n* bytes. Returns: 0; -EPIPE: there are fewer; or what read(2) failed with. */
int read_whole(int fd, void *ret, size_t n);

/*
 * Writes all *n* bytes, by writev(2), which is the call for it that a sandbox leaves. Takes no
 * memory. Returns: 0; -EIO: nothing more is taken; or what writing failed with.
 */
int write_whole(int fd, const void *bytes, size_t n);

/* The text of a file of this machine's own, of at most 1 MiB; owned, or NULL. */
char *file_text(const char *path);
