/* SPDX-License-Identifier: Apache-2.0 */
/* Faults that pass: a lease that is being broken, memory that another process frees, a disk. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* How long work is tried again. All zero: not at all. */
struct retry {
	uint64_t until_us; /* now_us() */
	unsigned pause_ms; /* before the next attempt */
};

/*
 * Whether *r*, -errno, may be another one when the same is done again: EAGAIN, EINTR, EIO, EMFILE,
 * ENFILE, ENOMEM, ETIMEDOUT.
 */
bool is_passing_fault(int r);

/*
 * Waits before another attempt at what failed with *r*, each time longer, up to 100 ms.
 * Returns: false, at once, where another attempt is of no use (so is one after EMFILE where this
 *	process has few descriptors left) or there is no time for one.
 */
bool retry_wait(struct retry *retry, int r);
