/* SPDX-License-Identifier: Apache-2.0 */
/* The FUSE requests: look-ups in a view's small array, and reads of its artifacts. */
#pragma once

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Whether a request changes something. It gets here where mount(2) removed the read-only flag, is
 * answered EROFS, and has none of the operations below.
 */
bool operation_changes(uint32_t opcode);

/* The operations; the session's user data is a struct artifact_opener. */
extern const struct fuse_lowlevel_ops view_operations;
