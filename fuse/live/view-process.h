/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes that serve views, found by name: for views that no mount of this namespace leads
 * to, and for views that do not answer. Only processes of root and of one user are looked at, of
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
	dev_t device;  /* of the mounts that it serves, as the kernel tells it; 0: unknown */
	dev_t claimed; /* the same by its title: hearsay; 0: it does not say */
	bool stopped;  /* by a signal or a debugger: it answers nothing */
	struct json_object *title; /* the ready line in its title: hearsay; NULL: none; owned */
};

struct view_processes {
	struct view_process *items; /* owned */
	size_t count, capacity;
	bool partial; /* there was no time to look at all of them */
};

/*
 * Finds those of root and of *owner*. With *titles* their titles are read, too, by a child: reading
 * one may take forever.
 * Returns: 0, with *ret* owned by the caller; -ENOMEM; or why /proc cannot be read.
 */
int view_processes_find(uid_t owner, bool titles, struct view_processes *ret);

void view_processes_done(struct view_processes *processes);
DEFINE_CLEANUP(struct view_processes, view_processes_done)

/*
 * Holds on to a process if it is one that is looked at, or stands by (standby.h), and, where the
 * kernel tells what it serves, if it serves *device*: whatever becomes of its number, it is this
 * one.
 * Returns: a pidfd, owned by the caller; -ESRCH: it is another one, or gone; or -errno.
 */
int view_process_open(pid_t pid, dev_t device);

/* The same for a process that may also be *owner*'s, in place of the caller's. */
int view_process_open_of(pid_t pid, dev_t device, uid_t owner);

/* A process by *proc*, its directory in /proc. */

/* Reads the beginning of a small file of it, and adds a NUL. Returns: its length or -errno. */
ssize_t process_read(int proc, const char *name, char *ret, size_t size);

/* Returns: the letter of its state (proc_pid_stat(5)), or 0. *ret_parent*: where it is not NULL. */
char process_state(int proc, pid_t *ret_parent);

/* The kernel's word for the device of the connection that a descriptor is; 0: it does not tell. */
dev_t process_connection(int proc, const char *number);
