/* SPDX-License-Identifier: Apache-2.0 */
/* Ending the process of a view. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

enum { END_MS = 3000 }; /* for the processes of views to end */

/* Tells a process to end, also a stopped one. Returns: 0, also where it is gone; or -errno. */
int process_terminate(int pidfd);

/* Waits for its end until *deadline_us* (now_us()). Returns: 0; -ETIMEDOUT; or -errno. */
int process_wait_end(int pidfd, uint64_t deadline_us);

/*
 * Ends the process of a view, if it serves *device* as far as the kernel tells.
 * Returns: 0, also where it is gone; -ETIMEDOUT: it does not end in END_MS; or -errno.
 */
int view_process_end(pid_t pid, dev_t device);
