/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ctl/doctor-findings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/io.h"
#include "fuse/process/run-with-timeout.h"
#include "fuse/process/self-exe.h"

enum { ANSWER_SECONDS = 5 };

static int run_program(void *argument)
{
	execl(argument, PROGRAM_NAME, "--version", (char *)NULL);
	return 1;
}

/* Whether it starts at all: a library may be missing. */
void check_program(struct findings *findings)
{
	char path[PATH_MAX];
	int r = program_path(PROGRAM_NAME, path);

	if (r == 0)
		r = run_with_timeout(run_program, path, ANSWER_SECONDS);
	if (r == 0)
		findings_add(findings, SEVERITY_OK, "program", NULL,
			     "%s starts (built with libfuse " VIEWFS_LIBFUSE ")", path);
	else if (access(path, X_OK) < 0)
		findings_add(findings, SEVERITY_ERROR, "program", "install " PROGRAM_NAME, "%s: %s",
			     path, strerror(errno));
	else
		findings_add(findings, SEVERITY_ERROR, "program",
			     "run the program by hand: it reports what is missing",
			     "%s does not start", path);
}

static bool is_installed(const char *name)
{
	static const char *const directories[] = {"/usr/sbin", "/sbin",		  "/usr/bin",
						  "/bin",      "/usr/local/sbin", "/usr/local/bin"};

	for (size_t i = 0; i < sizeof(directories) / sizeof(*directories); i++) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/%s", directories[i], name);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

void check_fuse3(struct findings *findings)
{
	static const char fix[] = "install fuse3";
	bool by_containerd = is_installed("mount.fuse3");
	bool by_users = is_installed("fusermount3");

	if (!by_containerd)
		findings_add(findings, SEVERITY_NOTE, "fuse3", fix,
			     "mount.fuse3 is missing; containerd mounts the type "
			     "fuse3.urunc-viewfs with it");
	if (!by_users)
		findings_add(findings, SEVERITY_NOTE, "fuse3", fix,
			     "fusermount3 is missing; users other than root mount with it");
	if (by_containerd && by_users)
		findings_add(findings, SEVERITY_OK, "fuse3", NULL,
			     "mount.fuse3 and fusermount3 are installed");
}

static bool is_set(const char *path, char value)
{
	cleanup_free char *text = file_text(path);

	return text && *text == value;
}

void check_apparmor(struct findings *findings)
{
	if (is_set("/sys/module/apparmor/parameters/enabled", 'Y') &&
	    access("/etc/apparmor.d/fusermount3", F_OK) == 0)
		findings_add(findings, SEVERITY_NOTE, "apparmor",
			     "add mountpoints in /etc/apparmor.d/local/fusermount3",
			     "users other than root mount only where the profile of fusermount3 "
			     "allows it");
}

void check_selinux(struct findings *findings)
{
	if (is_set("/sys/fs/selinux/enforce", '1'))
		findings_add(findings, SEVERITY_NOTE, "selinux",
			     "setsebool -P virt_sandbox_use_fusefs on, and virt_use_fusefs on",
			     "SELinux is enforcing: a confined monitor may not be allowed to read "
			     "a view");
}
