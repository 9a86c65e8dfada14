/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work that may wait for ever, for a filesystem that nobody serves any more: it is done by a
 * process of its own, which is given up in time.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

enum { BOUNDED_FAILED = 255 };

/*
 * Starts *run*(*argument*), whose result, below BOUNDED_FAILED, is an exit status. It has no stdio
 * and no other descriptor of the caller's, and tells by its result only, or in memory that is
 * shared. Returns: a pid, or -errno.
 */
pid_t bounded_start(int (*run)(void *argument), void *argument);

/*
 * Waits for it until *deadline_us* (now_us()); what is not done then is killed, and left alone.
 * Returns: the exit status; -ETIMEDOUT; -ECANCELED: it died; or an errno value.
 */
int bounded_finish(pid_t pid, uint64_t deadline_us);

/* Both, within *seconds*. */
int bounded_run(int (*run)(void *argument), void *argument, unsigned seconds);
