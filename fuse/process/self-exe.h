/* SPDX-License-Identifier: Apache-2.0 */
/* The directory of the project's programs: they are beside each other, installed or just built. */
#pragma once

#include <limits.h>

#define PROGRAM_NAME "urunc-viewfs"

/* Fills in the path of the program *name*. Returns: 0, or -errno of reading /proc. */
int program_path(const char *name, char ret[static PATH_MAX]);
