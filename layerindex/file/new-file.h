/* SPDX-License-Identifier: Apache-2.0 */
/* Files that get their name when they are complete: a reader sees all of a file or none. */
#pragma once

#include <stdbool.h>

enum { NEW_FILE_NAME = 5 + 16 }; /* bytes of a temporary name, ".new-HEX" */

/* Makes up a temporary name: each writer has its own. Returns: 0, or -errno. */
int new_file_name(char ret[static NEW_FILE_NAME + 1]);

/* Whether *name* is a temporary one. */
bool new_file_is_temporary(const char *name);

/*
 * Gives the file that *fd* has open the name *name* in directory *at*. If *replace*, a file that
 * has the name is replaced, and there is a file of that name at any time.
 * Returns: 0; -EEXIST: the name is taken; or -errno.
 */
int new_file_link(int fd, int at, const char *name, bool replace);
