/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a command that looks at layers, index or store, which may never answer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "fuse/base/error.h"

/*
 * Runs *run*(*argument*) in a process of its own for at most *seconds*. What it prints is printed
 * as it comes (*ret_printed*: something to stdout). A process that cannot be killed holds nothing
 * of the caller's but stdin and the *n* descriptors in *keep*, which are above stderr's.
 * Returns: what *run* returned, >= 0 or < 0 with *error*; < 0 with *error* after *seconds*.
 */
int ctl_run_timed(int (*run)(void *argument, struct view_error *error), void *argument,
		  const int *keep, size_t n, unsigned seconds, bool *ret_printed,
		  struct view_error *error);
