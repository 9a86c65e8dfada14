/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/kernel-version.h"

#include <stdlib.h>

bool kernel_is(const struct utsname *name, unsigned long major, unsigned long minor)
{
	char *end;
	unsigned long its_major = strtoul(name->release, &end, 10);
	unsigned long its_minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;

	return its_major > major || (its_major == major && its_minor >= minor);
}
