/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work that may wait without end, for a filesystem whose server is gone: a process of its own does
 * it, and the caller gives up that process in time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { RUN_WITH_TIMEOUT_FAILED = 255 };

/*
 * Starts *run*(*argument*) in a child, whose exit status is the result. Of the caller's descriptors
 * it has the *n* in *keep*, which must be above stderr's, and no other one. Returns: a pid, or
 * -errno.
 */
pid_t run_apart(int (*run)(void *argument), void *argument, const int *keep, size_t n);

/*
 * Starts *run*(*argument*), whose result, below RUN_WITH_TIMEOUT_FAILED, is an exit status. The
 * child has no stdio and no other descriptor of the caller. It reports by its result, or in shared
 * memory. Returns: a pid, or -errno.
 */
pid_t run_with_timeout_start(int (*run)(void *argument), void *argument);

/* Waits for a child. Returns: > 0: it has ended; 0: not by *deadline_us* (now_us()); or -errno. */
int wait_child_end(pid_t pid, uint64_t deadline_us);

/*
 * Waits for it until *deadline_us* (now_us()); what is not done then is killed, and left alone.
 * Returns: the exit status; -ETIMEDOUT; -ECANCELED: it died; or -errno.
 */
int run_with_timeout_finish(pid_t pid, uint64_t deadline_us);

/* Both, within *seconds*. */
int run_with_timeout(int (*run)(void *argument), void *argument, unsigned seconds);
