/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a view's process says of itself in its command line: PROCTITLE_PREFIX and one JSON object,
 * the ready line's, with a member "view" that holds the facts below. A view therefore needs no
 * state file that could be stale or left behind.
 */
#pragma once

#include <json-c/json.h>
#include <stdint.h>
#include <sys/types.h>

#include "fuse/process/self-exe.h"

#define PROCTITLE_PREFIX PROGRAM_NAME ": "

enum { PROCTITLE_SIZE_MAX = 256 << 10 }; /* bytes; far beyond what paths allow */

struct proctitle {
	dev_t device; /* of the mount */
	uint64_t layers;
	unsigned sandboxed; /* the measures of its sandbox that are in force (sandbox.h) */
};

/*
 * Makes the title this process's command line, and PROGRAM_NAME its name. *ready* is the ready line
 * by now. Best effort: where the kernel will not have it (it takes CONFIG_CHECKPOINT_RESTORE, and
 * /proc), the command line stays what it was.
 */
void proctitle_set(const char *ready, const struct proctitle *title);

/* Adds the measures that are in force to the title. Makes no system call: the sandbox allows it. */
void proctitle_sandboxed(unsigned measures);

/*
 * Parses a command line of *n* bytes, which a NUL must follow. Any process may have written it: all
 * that is in *ret_ready is a claim of its process.
 * Returns: 0, with *ret and an owned object in *ret_ready, which is the ready line; -EINVAL: it is
 *	no title; -ENOMEM.
 */
int proctitle_parse(const char *text, size_t n, struct proctitle *ret,
		    struct json_object **ret_ready);
