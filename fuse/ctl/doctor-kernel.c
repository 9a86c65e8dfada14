/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel tells only a FUSE server whether it offers passthrough: a trial mount, which no other
 * process sees, asks it.
 */
#include "fuse/ctl/doctor-findings.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/utsname.h>

#include "fuse/base/fuse-kernel.h"
#include "fuse/base/kernel-version.h"
#include "fuse/cli/version.h"
#include "fuse/mount/mount-api.h"
#include "fuse/process/run-with-timeout.h"
#include "fuse/process/sandbox.h"
#include "layerindex/layer/privilege.h"

enum { TRIAL_SECONDS = 5 };

void check_kernel(struct findings *findings)
{
	struct utsname name;

	uname(&name);
	if (kernel_is(&name, 5, 9))
		findings_add(findings, SEVERITY_OK, "kernel", NULL, "Linux %s", name.release);
	else
		findings_add(findings, SEVERITY_ERROR, "kernel", "take Linux 5.9 or newer",
			     "Linux %s is too old", name.release);
}

void check_device(struct findings *findings)
{
	static const char load[] = "modprobe fuse; in a container, pass the device in "
				   "(--device /dev/fuse)";
	static const char allow[] = "run as root; in a container, allow the device "
				    "(--device /dev/fuse)";
	cleanup_close int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	bool denied = errno == EACCES || errno == EPERM;

	if (fd >= 0)
		findings_add(findings, SEVERITY_OK, "device", NULL, "/dev/fuse can be opened");
	else
		findings_add(findings, SEVERITY_ERROR, "device", denied ? allow : load,
			     "/dev/fuse: %s", strerror(errno));
}

void check_privilege(struct findings *findings)
{
	if (!has_sys_admin())
		findings_add(
			findings, SEVERITY_WARNING, "privilege", "run as root",
			"without CAP_SYS_ADMIN only fusermount3 can mount views, and they have no "
			"passthrough");
	else if (in_initial_user_namespace() <= 0)
		findings_add(
			findings, SEVERITY_WARNING, "privilege",
			"mount views outside the user namespace, or with -o userxattr",
			"in a user namespace trusted.overlay.* marks cannot be read, and there "
			"is no passthrough");
	else
		findings_add(findings, SEVERITY_OK, "privilege", NULL,
			     "CAP_SYS_ADMIN in the initial user namespace");
}

/* A mount of FUSE that is nowhere. Returns: its descriptor, owned, or -errno. */
static int mount_nowhere(int connection)
{
	cleanup_close int context = mount_context("fuse");
	char number[16];
	int r = context;

	snprintf(number, sizeof(number), "%d", connection);
	if (r >= 0)
		r = mount_option(context, "fd", number);
	if (r >= 0)
		r = mount_option(context, "rootmode", "40000");
	if (r >= 0)
		r = mount_option(context, "user_id", "0");
	if (r >= 0)
		r = mount_option(context, "group_id", "0");
	return r < 0 ? r : mount_make(context, true);
}

/*
 * The same where a filter forbids the calls for it, in a mount namespace of this process's own.
 * Returns: 0; 1: it cannot be tried; or -errno of mounting.
 */
static int mount_privately(int connection)
{
	char options[64];

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return 1;
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", connection);
	return mount("viewfsctl", "/", "fuse", MS_RDONLY, options) < 0 ? -errno : 0;
}

/* What the kernel offers, as bits; or that it is not known, plus errno with TRIAL_FAILED. */
enum {
	TRIAL_PASSTHROUGH = 1 << 0,
	TRIAL_RESEND = 1 << 1,
	TRIAL_OFFERS = 1 << 2,
	TRIAL_NOT_MADE = TRIAL_OFFERS,
	TRIAL_FAILED,
};

/* Mounts a FUSE filesystem and reads the first request, in which the kernel says what it offers. */
static int try_mount(void *argument)
{
	cleanup_close int connection = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	cleanup_close int mounted = connection < 0 ? -EBADF : mount_nowhere(connection);
	char request[8192] = {};
	struct init_in in = {};
	ssize_t n;
	int r = connection < 0 ? -errno : mounted;

	(void)argument;
	if (r == -ENOSYS || r == -EPERM)
		r = mount_privately(connection);
	if (r == 1)
		return TRIAL_NOT_MADE;
	if (r < 0)
		return TRIAL_FAILED - r;
	n = read(connection, request, sizeof(request));
	if (n < 0)
		return TRIAL_FAILED + errno;
	if ((size_t)n >= sizeof(struct fuse_in_header) + sizeof(in))
		memcpy(&in, request + sizeof(struct fuse_in_header), sizeof(in));
	if (!(in.flags & INIT_EXT))
		return 0;
	return (in.flags2 & FLAGS2_PASSTHROUGH ? TRIAL_PASSTHROUGH : 0) |
	       (in.flags2 & FLAGS2_HAS_RESEND ? TRIAL_RESEND : 0);
}

/* Whether survive=on has an effect. *offers*: what the kernel offers. */
static void check_survival(struct findings *findings, int offers)
{
	if (!(offers & TRIAL_RESEND))
		findings_add(
			findings, SEVERITY_NOTE, "survive", "use Linux 6.9 or newer",
			"-o survive=on has no effect: the kernel does not send requests again");
	else if (sandbox_possible() != SANDBOX_ALL)
		findings_add(findings, SEVERITY_NOTE, "survive", "see the sandbox",
			     "-o survive=on has no effect: a view cannot be sandboxed whole");
	else
		findings_add(findings, SEVERITY_OK, "survive", NULL,
			     "a second process can take a view over (-o survive=on)");
}

void check_passthrough(struct findings *findings)
{
	int r = has_sys_admin() ? run_with_timeout(try_mount, NULL, TRIAL_SECONDS) : -EPERM;
	bool known = r >= 0 && r < TRIAL_OFFERS;

	if (known)
		check_survival(findings, r);
	/* Other checks report what prevents the trial, or its use. */
	if (known && r & TRIAL_PASSTHROUGH && in_initial_user_namespace() > 0)
		findings_add(findings, SEVERITY_OK, "passthrough", NULL,
			     "the kernel reads artifacts directly");
	else if (known && !(r & TRIAL_PASSTHROUGH))
		findings_add(
			findings, SEVERITY_NOTE, "passthrough",
			"use Linux 6.9 or newer, with CONFIG_FUSE_PASSTHROUGH",
			"not supported: artifacts are read through the view's process, several "
			"times slower");
	else if (r == TRIAL_NOT_MADE)
		findings_add(findings, SEVERITY_NOTE, "passthrough",
			     "allow fsopen(2), fsconfig(2) and fsmount(2) in the seccomp profile",
			     "not known: a trial mount could not be made");
	else if (r > TRIAL_FAILED && access("/dev/fuse", R_OK | W_OK) == 0)
		findings_add(
			findings, SEVERITY_ERROR, "mount",
			"see the kernel's log; a seccomp profile or a security module may forbid "
			"the mount",
			"a FUSE filesystem cannot be mounted: %s", strerror(r - TRIAL_FAILED));
}

void check_openat2(struct findings *findings)
{
	if (kernel_has_openat2())
		findings_add(findings, SEVERITY_OK, "openat2", NULL,
			     "one system call looks a path up in a layer");
	else
		findings_add(findings, SEVERITY_NOTE, "openat2",
			     "allow openat2(2) in the seccomp profile",
			     "openat2(2) is forbidden: a path is looked up name by name, which is "
			     "slower");
}
