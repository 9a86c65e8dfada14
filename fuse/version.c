/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/version.h"

#include <errno.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

static bool has_openat2(void)
{
	struct open_how how = {};

	/* A size that is too small is refused by every kernel that knows the call. */
	return syscall(SYS_openat2, -1, "", &how, 0) < 0 && errno == EINVAL;
}

/* The kernel tells only who mounts; it came with Linux 6.9. */
static bool has_passthrough(const struct utsname *name)
{
	char *end;
	unsigned long major = strtoul(name->release, &end, 10);
	unsigned long minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;

	return major > 6 || (major == 6 && minor >= 9);
}

void version_print(const char *program)
{
	struct utsname name = {};

	printf("%s %s\n", program, VIEWFS_VERSION);
	printf("  libfuse      %s\n", VIEWFS_LIBFUSE);
	if (uname(&name) == 0)
		printf("  kernel       %s\n", name.release);
	printf("  /dev/fuse    %s\n", access("/dev/fuse", R_OK | W_OK) == 0 ? "yes" : "no");
	printf("  openat2      %s\n", has_openat2() ? "yes" : "no");
	printf("  passthrough  %s\n", has_passthrough(&name) ? "yes" : "no, Linux 6.9 has it");
}
