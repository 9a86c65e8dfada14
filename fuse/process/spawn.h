/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a process of this program. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* The exit status of a process whose child was ended by a signal: this, and the signal's number. */
enum { KILLED_STATUS = 128 };

/* Whether spawn() can share memory in this build. */
bool spawn_can_share(void);

/*
 * Starts a process that runs *run*(*argument*) and exits with what that returns. With *share* it
 * shares this process's memory, as after vfork(2), but both go on: no page tables are copied and
 * none taken down, which is a quarter of a view's start. The price: until the child is known to
 * have ended, the caller may use nothing but its stack and system calls: no heap, no stdio, no
 * exit(3); and both share errno, so the caller's system calls should not fail.
 * Returns: the pid, or -errno.
 */
pid_t spawn(int (*run)(void *argument), void *argument, bool share);

/*
 * As vfork(2): starts a process that runs *run*(*argument*), in this one's memory, and comes back
 * when that process runs another program or has ended. Returns: the pid, or -errno.
 */
pid_t spawn_program(int (*run)(void *argument), void *argument);

/*
 * For a child that shares, when it has done what the caller waits for: until then both keep to one
 * processor, since waking another one that sleeps takes longer than all that is done between.
 * sched_yield(2) would not let the caller go on first: the child has a session and with it a
 * scheduling group of its own (autogroup). The child must wait for something.
 */
void spawn_release(void);
