/* SPDX-License-Identifier: Apache-2.0 */
/*
 * viewfsctl umount: leaves no view at a place, and waits for none. Unmounting alone does not
 * end a view: another mount namespace, or a file of it that is bound somewhere, keeps a copy.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>

#include "fuse/base/messages.h"
#include "fuse/ctl/ctl.h"
#include "fuse/live/view-process.h"
#include "fuse/mount/mount-table.h"
#include "fuse/mount/mountpoint.h"
#include "fuse/process/run-with-timeout.h"

enum {
	END_SECONDS = 5,    /* for a process to end */
	PLACE_SECONDS = 10, /* for all that is done about one DIR */
};

static void umount_print_help(void)
{
	puts("Usage: viewfsctl umount DIR…\n"
	     "\n"
	     "Unmounts every view at DIR, dead or alive, in use or not, and ends the process that\n"
	     "serves it, even where another mount namespace still has the view. A view that is\n"
	     "also mounted elsewhere in this namespace stays there. Cannot block on a hung view.\n"
	     "Succeeds if nothing is mounted at DIR, or DIR does not exist.\n"
	     "\n"
	     "  -h, --help     this text\n"
	     "  -V, --version  the version, and what this build and this kernel can do\n"
	     "\n"
	     "Exit status: 0, 1 usage, 2 system, 32 failure, 64 some failed and some did not.");
}

/* Whether all of a view is mounted at some place in this namespace. */
static int find_mount(dev_t device)
{
	cleanup_with(mount_iter_done) struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
	cleanup_with(mount_table_done) struct libmnt_table *table = NULL;
	struct mount_entry entry;
	int r = iter ? mount_table_read(NULL, &table) : -ENOMEM;

	if (r < 0)
		return r;
	while (mount_table_next(table, iter, &entry))
		if (entry.device == device && strcmp(entry.root, "/") == 0)
			return 1;
	return 0;
}

/* Returns: 0, or -errno: -ETIMEDOUT. */
static int end_process(pid_t pid, dev_t device)
{
	cleanup_close int pidfd = view_process_open(pid, device);
	struct pollfd end = {.fd = pidfd, .events = POLLIN};
	int n;

	if (pidfd < 0)
		return pidfd == -ESRCH ? 0 : pidfd;
	if (pidfd_send_signal(pidfd, SIGTERM, NULL, 0) < 0)
		return errno == ESRCH ? 0 : -errno;
	/* One that is stopped takes no other signal. */
	pidfd_send_signal(pidfd, SIGCONT, NULL, 0);
	do
		n = poll(&end, 1, END_SECONDS * 1000);
	while (n < 0 && errno == EINTR);
	return n > 0 ? 0 : n < 0 ? -errno : -ETIMEDOUT;
}

/* Ends the process of a view that is no longer mounted here. */
static int end_processes(const char *path, dev_t device, struct view_error *error)
{
	cleanup_with(view_processes_done) struct view_processes processes = {};
	int r = find_mount(device);

	if (r > 0)
		return 0;
	if (r == 0)
		r = view_processes_find(device, &processes);
	if (r < 0)
		return view_fail(error, MSG_SYSTEM, path, strerror(-r));
	for (size_t i = 0; i < processes.count; i++) {
		r = end_process(processes.items[i].pid, device);
		if (r < 0)
			return view_fail(error, MSG_GOES_ON, path, processes.items[i].pid,
					 strerror(-r));
	}
	return 0;
}

/*
 * *again*: a view stood above already, and what is not one may be below.
 * Returns: > 0: a view is gone from *path*; 0: there was none; < 0 with *error*.
 */
static int unmount_topmost(const char *path, bool again, struct view_error *error)
{
	cleanup_close int fd = mountpoint_open(path);
	cleanup_free char *line = NULL;
	struct mount_entry mount;
	int r = fd;

	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	if (fd >= 0)
		r = mountinfo_find(fd, &mount, &line);
	if (r < 0)
		return view_fail(error, MSG_UNMOUNT, path, strerror(-r));
	if (r == 0 || (again && strcmp(mount.type, VIEW_TYPE) != 0))
		return 0;
	if (strcmp(mount.type, VIEW_TYPE) != 0)
		return view_fail(error, MSG_NOT_A_VIEW, path, mount.type);
	r = mountpoint_detach_fd(fd);
	/* EINVAL: another process was faster. */
	if (r < 0 && r != -EINVAL)
		return view_fail(error, MSG_UNMOUNT, path, strerror(-r));
	/* As long as the descriptor is open no other view gets this one's number. */
	return end_processes(path, mount.device, error) < 0 ? -ECANCELED : 1;
}

static int unmount(const char *directory, struct view_error *error)
{
	cleanup_free char *path = mountpoint_path(directory);
	int r;

	/* An empty name is a slip of a script's, not a place where nothing is. */
	if (!path && *directory && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (!path)
		return view_fail(error, MSG_UNMOUNT, directory, strerror(errno));
	r = unmount_topmost(path, false, error);
	while (r > 0)
		r = unmount_topmost(path, true, error);
	return r;
}

/* One DIR, and what was wrong with it. */
struct place {
	const char *directory;
	struct view_error error;
};

static int umount_one(void *argument)
{
	struct place *place = argument;

	return unmount(place->directory, &place->error) < 0;
}

/* One DIR, in bounded time. Returns: 0, or < 0 with place->error. */
static int unmount_with_timeout(struct place *place, const char *directory)
{
	int r;

	*place = (struct place){.directory = directory};
	r = run_with_timeout(umount_one, place, PLACE_SECONDS);
	if (r == -ETIMEDOUT)
		return view_fail(&place->error, MSG_UNMOUNT_TIMEOUT, directory, PLACE_SECONDS);
	if (r < 0)
		return view_fail(&place->error, MSG_UNMOUNT, directory, strerror(-r));
	return r > 0 ? -ECANCELED : 0;
}

static int umount_run(const struct ctl_call *call, struct view_error *error)
{
	/* Shared with the process that does it. */
	struct place *place = mmap(NULL, sizeof(*place), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int failed = 0, done = 0;

	if (place == MAP_FAILED)
		return view_fail(error, MSG_NO_MEMORY);
	for (char **directory = call->operands; *directory; directory++) {
		if (unmount_with_timeout(place, *directory) < 0)
			ctl_goes_on(&place->error, &failed);
		else
			done++;
	}
	return failed && done ? 64 : failed;
}

const struct ctl_command ctl_umount = {
	.name = "umount",
	.summary = "unmount views, dead or alive, and end their processes",
	.print_help = umount_print_help,
	.run = umount_run,
	.operands = "DIR",
};
