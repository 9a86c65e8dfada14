/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a view's process says of itself in its command line, for people: PROCTITLE_PREFIX and the
 * ready line by now. Any process may have such a command line: no decision rests on it.
 */
#pragma once

#include <stddef.h>

#include "fuse/process/self-exe.h"

#define PROCTITLE_PREFIX PROGRAM_NAME ": "

/*
 * Makes the ready line this process's command line, and PROGRAM_NAME its name. Best effort: where
 * the kernel does not allow it (it requires CONFIG_CHECKPOINT_RESTORE), the command line stays.
 */
void proctitle_set(const char *ready);

/*
 * As proctitle_set(), before the ready line is known: makes room for one of *length* bytes, which
 * proctitle_fill() writes, without a system call: cut where it is longer.
 */
void proctitle_reserve(size_t length);
void proctitle_fill(const char *ready);

/*
 * Writes another text over the ready line, without a system call: cut where it is longer. Where
 * there is no such command line nothing happens.
 */
void proctitle_replace(const char *text);

/* Shows the ready line of the last proctitle_set() again, without a system call. */
void proctitle_restore(void);

/*
 * Finds the ready line in a command line of *n* bytes. Returns: its beginning, with its length in
 * *n*; NULL: it is no title.
 */
const char *proctitle_text(const char *text, size_t *n);
