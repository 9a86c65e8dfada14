/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes that serve views, found by name: for views that no mount of this namespace leads
 * to, and for views that do not answer. Only processes of root and of the caller are looked at, of
 * each a bounded number of descriptors, and all of it in bounded time: any user may have processes
 * of that name, with as many descriptors as they like.
 *
 * Which connection a process serves the kernel tells (since Linux 6.16, to a process that may look
 * at the other one's descriptors). Everything else is what the process says.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "layerindex/cleanup.h"

struct view_process {
	pid_t pid;
	dev_t device; /* of the mounts that it serves, as the kernel tells it; 0: unknown */
	bool stopped; /* by a signal or a debugger: it answers nothing */
	struct json_object *title; /* the ready line in its title: hearsay; NULL: none; owned */
};

struct view_processes {
	struct view_process *items; /* owned */
	size_t count, capacity;
	bool partial; /* there was no time to look at all of them */
};

/*
 * Finds them. With *titles* their titles are read, too, by a child: reading one may take forever.
 * Returns: 0, with *ret* owned by the caller; -ENOMEM; or why /proc cannot be read.
 */
int view_processes_find(bool titles, struct view_processes *ret);

void view_processes_done(struct view_processes *processes);
DEFINE_CLEANUP(struct view_processes, view_processes_done)

/*
 * Holds on to a process if it is one that is looked at, or stands by (standby.h), and, where the
 * kernel tells what it serves, if it serves *device*: whatever becomes of its number, it is this
 * one.
 * Returns: a pidfd, owned by the caller; -ESRCH: it is another one, or gone; or -errno.
 */
int view_process_open(pid_t pid, dev_t device);
