/* SPDX-License-Identifier: Apache-2.0 */
/* Reading all that there is. */
#pragma once

#include <stddef.h>

/*
 * Reads all of *fd*, at most *max* bytes, whatever its size claims to be.
 * Returns: 0, with an owned text in *ret that is ended by a NUL that does not count; -EFBIG: there
 *	is more; -ENOMEM; or what read(2) failed with.
 */
int read_all(int fd, size_t max, char **ret, size_t *ret_size);

/* The text of a file of this machine's own, of at most 1 MiB; owned, or NULL. */
char *file_text(const char *path);
