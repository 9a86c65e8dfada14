/* SPDX-License-Identifier: Apache-2.0 */
/* --version: what this build and this kernel can do. */
#pragma once

#include <stdbool.h>

void version_print(const char *program);

/*
 * The same of urunc-viewfs for a program, in one line: {"version":…,"features":{"build":{…},
 * "kernel":{…}}}. The names of arguments and mount options tell a
 * caller what it may use.
 */
void version_print_json(void);

/* Whether it knows openat2(2), and lets this process call it. */
bool kernel_has_openat2(void);
