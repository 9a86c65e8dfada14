/* SPDX-License-Identifier: Apache-2.0 */
/* The process that a caller starts and waits for: it starts the server and answers for it. */
#pragma once

#include <stdint.h>

#include "fuse/cli/arguments.h"

/*
 * Makes a view and tells the caller: the ready line, the sentence, the exit status. With
 * --foreground it comes back when the view has ended.
 * *error* is the caller's only to keep the stack small. Returns: the exit status.
 */
int launch(struct arguments *arguments, uint64_t start_us, struct view_error *error);

/* Tells the caller of a failure, on stderr and --ready-fd. Returns: the exit status. */
int launch_failed(const struct arguments *arguments, const struct view_error *error);
