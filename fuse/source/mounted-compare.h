/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the layers that a mounted overlay names are the directories that it was made of. Their
 * paths may lead elsewhere by now: another mount covers them, or they were meant in another mount
 * namespace or below another root.
 */
#pragma once

#include "fuse/base/error.h"
#include "fuse/source/source.h"

/*
 * Compares what was found at *path* in the layers of *source* with what the overlay shows there:
 * the file's identity, as far as the kernel tells it (file_may_be_shown()), its inode number, type,
 * mode, size, modification and change time. *found* is the open file, or < 0 where no regular file
 * was found. What the overlay's upper directory holds may differ. No file of the overlay is opened.
 * The lookup may block on a layer, so the caller needs a time limit.
 *
 * Returns: 0: no difference, or *source* was read off no overlay; < 0 with *error*
 *	(CODE_ENOTAPPLICABLE, CODE_ESYSTEM).
 */
int mounted_compare(const struct source *source, const char *path, int found,
		    struct view_error *error);
