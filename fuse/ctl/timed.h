/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a command that looks at layers, index or store, which may never answer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuse/base/error.h"

/* What a command may take. */
struct time_limit {
	uint64_t start_us; /* when it began, by now_us() */
	unsigned seconds;
};

/* When that ends, by now_us(). */
static inline uint64_t time_limit_us(const struct time_limit *limit)
{
	return limit->start_us + limit->seconds * UINT64_C(1000000);
}

/*
 * Runs *run*(*argument*) in a process of its own until the limit. What it prints is printed
 * as it comes (*ret_printed*: something to stdout). A process that cannot be killed holds nothing
 * of the caller's but stdin and the *n* descriptors in *keep*, which are above stderr's.
 * Returns: what *run* returned, >= 0 or < 0 with *error*; < 0 with *error* at the limit.
 */
int ctl_run_timed(int (*run)(void *argument, struct view_error *error), void *argument,
		  const int *keep, size_t n, const struct time_limit *limit, bool *ret_printed,
		  struct view_error *error);
