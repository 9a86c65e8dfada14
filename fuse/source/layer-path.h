/* SPDX-License-Identifier: Apache-2.0 */
/* The path of a layer's directory. */
#pragma once

#include <stdbool.h>

/*
 * Whether a path leads through what the process that looks has open: a descriptor, its root or its
 * working directory. It is valid only as long as that is so, and the caller's descriptors are
 * closed soon.
 */
bool is_descriptor_path(const char *path);

/* The descriptor of this process that is all that a path names, or -1. */
int descriptor_of_path(const char *path);

/*
 * Where the directory at *path* lies: an absolute path, without links as far as that can be said;
 * owned.
 * Returns: NULL with errno. ENOENT: also where no path leads, to a mount that is gone and that only
 *	a descriptor holds.
 */
char *layer_path(const char *path);
