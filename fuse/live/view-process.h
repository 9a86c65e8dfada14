/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes that serve views. Which connection a process serves the kernel says (since Linux
 * 6.16, to a process that may look at the process's descriptors); else its title does.
 *
 * Any user may run a process with the title of a view, and can make a reader of the title wait for
 * the memory that holds it. So only titles of processes of root or of the caller count.
 */
#pragma once

#include <stdbool.h>

#include "fuse/live/proctitle.h"
#include "layerindex/cleanup.h"

struct view_process {
	pid_t pid;
	dev_t device; /* of the mounts that it serves */
	bool stopped; /* by a signal or a debugger: it answers nothing */
	bool trusted; /* root's, or the caller's */
	bool titled;
	struct proctitle title;	   /* if titled */
	struct json_object *ready; /* its ready line, if titled; owned */
};

struct view_processes {
	struct view_process *items; /* owned */
	size_t count, capacity;
};

/*
 * Finds the processes of *device*, or with 0 all of them. Never waits for one of them, nor for a
 * filesystem.
 * Returns: 0, with *ret* owned by the caller; -ENOMEM; or why /proc cannot be read.
 */
int view_processes_find(dev_t device, struct view_processes *ret);

void view_processes_done(struct view_processes *processes);
DEFINE_CLEANUP(struct view_processes, view_processes_done)

/*
 * Holds on to a process if it serves *device*: whatever becomes of its number, it is this one.
 * Returns: a pidfd, owned by the caller; -ESRCH: it does not, or is gone; or -errno.
 */
int view_process_open(pid_t pid, dev_t device);
