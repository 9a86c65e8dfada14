/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ATTEMPT_FILE and ATTEMPT_PID name whom an attempt is tried on. What came of it stands in the file
 * ATTEMPT_RESULT, as two numbers: 1 when it was begun and 2 when it came back, and the errno value,
 * 0 if it worked. It is written to memory, which is all that a sandboxed process can write to.
 */
#pragma once

/* Tries what *name* names: one of the table, or "call:N", the system call of that number. */
void attempt(const char *name);

/* Counts in ATTEMPT_RESULT, over all processes. Returns: how often it was called before. */
int attempt_count(void);
