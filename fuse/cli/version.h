/* SPDX-License-Identifier: Apache-2.0 */
/* --version: what this build and this kernel can do. */
#pragma once

#include <stdbool.h>
#include <sys/utsname.h>

void version_print(const char *program);

/* Whether a kernel is of this version, or a newer one. */
bool kernel_is(const struct utsname *name, unsigned long major, unsigned long minor);

/* Whether it knows openat2(2), and lets this process call it. */
bool kernel_has_openat2(void);
