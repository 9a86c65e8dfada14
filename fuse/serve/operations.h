/* SPDX-License-Identifier: Apache-2.0 */
/* The FUSE requests: look-ups in a view's small array, and reads of its artifacts. */
#pragma once

#include <fuse_lowlevel.h>

/* Bytes: the most that the kernel is told to ask for in one READ, or to send in one WRITE. */
enum { READ_MAX = 1 << 20 };

/* The operations; the session's user data is a struct artifact_opener. */
extern const struct fuse_lowlevel_ops view_operations;
