/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/cli/version.h"

#include <errno.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "fuse/base/kernel-version.h"
#include "fuse/cli/arguments.h"
#include "fuse/cli/options.h"
#include "fuse/process/sandbox.h"

bool kernel_has_openat2(void)
{
	struct open_how how = {};

	/* A size that is too small is refused by every kernel that knows the call. */
	return syscall(SYS_openat2, -1, "", &how, 0) < 0 && errno == EINVAL;
}

static bool has_device(void)
{
	return access("/dev/fuse", R_OK | W_OK) == 0;
}

/* Whether there is any the kernel tells only a FUSE server: see viewfsctl doctor. */
static bool may_pass_through(const struct utsname *name)
{
	return kernel_is(name, 6, 9);
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
	printf("  /dev/fuse    %s\n", has_device() ? "yes" : "no");
	printf("  openat2      %s\n", kernel_has_openat2() ? "yes" : "no");
	printf("  passthrough  %s\n", may_pass_through(&name) ? "yes" : "no, Linux 6.9 has it");
	print_sandbox();
}

static const char *json_bool(bool value)
{
	return value ? "true" : "false";
}

static void print_kernel_json(void)
{
	unsigned possible = sandbox_possible();
	struct utsname name = {};
	const char *before = "";

	uname(&name);
	printf("{\"release\":\"%s\",\"dev_fuse\":%s", name.release, json_bool(has_device()));
	printf(",\"openat2\":%s", json_bool(kernel_has_openat2()));
	printf(",\"passthrough\":%s", json_bool(may_pass_through(&name)));
	printf(",\"landlock\":%d,\"sandbox\":[", sandbox_landlock_abi());
	for (unsigned i = 0; i < SANDBOX_COUNT; i++) {
		if (!(possible & 1U << i))
			continue;
		printf("%s\"%s\"", before, sandbox_names[i]);
		before = ",";
	}
	printf("]}");
}

void version_print_json(void)
{
	printf("{\"version\":\"%s\",\"features\":{\"build\":{\"libfuse\":\"%s\",\"arguments\":[",
	       VIEWFS_VERSION, VIEWFS_LIBFUSE);
	arguments_print_names(FOR_VIEW);
	printf("],\"options\":[");
	options_print_names();
	printf("]},\"kernel\":");
	print_kernel_json();
	printf("}}\n");
}
