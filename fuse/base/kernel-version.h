/* SPDX-License-Identifier: Apache-2.0 */
/* Which version of Linux this is. */
#pragma once

#include <stdbool.h>
#include <sys/utsname.h>

/* Whether a kernel is version *major*.*minor* or newer. */
bool kernel_is(const struct utsname *name, unsigned long major, unsigned long minor);
