/* SPDX-License-Identifier: Apache-2.0 */
/* Letting go of what a process got from its caller. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Opens /dev/null wherever the caller closed stdin, stdout or stderr, so that nothing else that is
 * opened later is taken for one of them. Returns: 0 or an errno value.
 */
int background_fill_stdio(void);

/*
 * Closes every descriptor from *first* on but for the *n* in *keep*. Returns: 0, or an errno value
 * of listing them, which takes /proc, before Linux 5.9.
 */
int background_close(int first, const int *keep, size_t n);

/*
 * Leaves the working directory, and makes stdin and stdout, and stderr too unless *keep_stderr*,
 * /dev/null. Returns: 0 or an errno value.
 */
int background_detach(bool keep_stderr);
