/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/cli/version.h"

#include <errno.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "fuse/base/kernel-version.h"
#include "fuse/process/sandbox.h"

bool kernel_has_openat2(void)
{
	struct open_how how = {};

	/* A size that is too small is refused by every kernel that knows the call. */
	return syscall(SYS_openat2, -1, "", &how, 0) < 0 && errno == EINVAL;
}

static void print_sandbox(void)
{
	unsigned possible = sandbox_possible();
	int abi = sandbox_landlock_abi();

	printf("  sandbox      %s", possible == SANDBOX_ALL ? "full" : "without");
	for (unsigned i = 0; i < SANDBOX_COUNT; i++)
		if (!(possible & 1U << i))
			printf(" %s (%s)", sandbox_names[i], sandbox_lack(i));
	printf("\n  landlock     ");
	printf(abi > 0 ? "version %d\n" : "no\n", abi);
}

void version_print(const char *program)
{
	struct utsname name = {};

	printf("%s %s\n", program, VIEWFS_VERSION);
	printf("  libfuse      %s\n", VIEWFS_LIBFUSE);
	if (uname(&name) == 0)
		printf("  kernel       %s\n", name.release);
	printf("  /dev/fuse    %s\n", access("/dev/fuse", R_OK | W_OK) == 0 ? "yes" : "no");
	printf("  openat2      %s\n", kernel_has_openat2() ? "yes" : "no");
	/* Whether there is any the kernel tells only who mounts: see viewfsctl doctor. */
	printf("  passthrough  %s\n", kernel_is(&name, 6, 9) ? "yes" : "no, Linux 6.9 has it");
	print_sandbox();
}
