/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/serve/upgrade-place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fuse/base/messages.h"
#include "fuse/live/view-process.h"
#include "fuse/mount/mountinfo.h"
#include "layerindex/cleanup.h"

enum {
	CGROUPS_SIZE = 32 << 10, /* of /proc/PID/cgroup */
	NUMBER_SIZE = 16,
};

static int fail(const char *what, int r, struct view_error *error)
{
	return view_fail(error, MSG_TAKEOVER, what, strerror(-r));
}

/* Writes a text into a file. Returns: 0 or -errno. */
static int write_file(const char *path, const char *text)
{
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return -errno;
	return 0;
}

/* Whether the comma separated *list* holds *word*, of *n* bytes. */
static bool list_holds(const char *list, const char *word, size_t n)
{
	for (; *list; list += strcspn(list, ","), list += *list == ',') {
		size_t length = strcspn(list, ",");

		if (length == n && memcmp(list, word, n) == 0)
			return true;
	}
	return false;
}

/*
 * Whether a mount is the hierarchy with the controllers *names*, as a line of /proc/PID/cgroup has
 * them: none is the unified one.
 */
static bool is_hierarchy(const struct mount_entry *entry, const char *names)
{
	if (!*names)
		return strcmp(entry->type, "cgroup2") == 0;
	return strcmp(entry->type, "cgroup") == 0 &&
	       list_holds(entry->super, names, strcspn(names, ","));
}

/*
 * The path below a mount's root of a cgroup, or NULL: this mount does not show it. Both are seen
 * from this process's cgroup namespace.
 */
static const char *below_root(const char *root, const char *cgroup)
{
	size_t n = strcmp(root, "/") == 0 ? 0 : strlen(root);

	return strncmp(cgroup, root, n) == 0 && (cgroup[n] == '/' || !cgroup[n]) ? cgroup + n
										 : NULL;
}

/* Puts a process into the cgroup *path* of the hierarchy *names*. Returns: 0 or -errno. */
static int enter_cgroup(pid_t pid, const char *names, const char *path)
{
	cleanup_with(mountinfo_close) struct mountinfo mountinfo = {};
	struct mount_entry entry;
	char number[NUMBER_SIZE];
	int r = mountinfo_open(&mountinfo);

	while (r == 0 && (r = mountinfo_next(&mountinfo, &entry)) > 0) {
		char procs[PATH_MAX];
		const char *below;

		r = 0;
		if (!is_hierarchy(&entry, names))
			continue;
		below = below_root(entry.root, path);
		if (!below || snprintf(procs, sizeof(procs), "%s%s/cgroup.procs", entry.mountpoint,
				       below) >= (int)sizeof(procs))
			continue;
		snprintf(number, sizeof(number), "%d", pid);
		return write_file(procs, number);
	}
	return r < 0 ? r : -ENOENT;
}

/* Whether a process, whose lines *own* are, is in the cgroup of a line already. */
static bool is_there(const char *own, const char *line)
{
	const char *found = strstr(own, line);
	size_t n = strlen(line);

	return found && (found == own || found[-1] == '\n') && found[n] == '\n';
}

static int take_cgroups(const struct upgrade_target *target, pid_t pid, int self,
			struct view_error *error)
{
	static char theirs[CGROUPS_SIZE], own[CGROUPS_SIZE];
	char *next = theirs;
	char *line;
	int r;

	/* A kernel without cgroups has no such file. */
	if (process_read(self, "cgroup", own, sizeof(own)) < 0)
		return 0;
	if (process_read(target->proc, "cgroup", theirs, sizeof(theirs)) < 0)
		return fail("cgroups", -ESRCH, error);
	while ((line = strsep(&next, "\n"))) {
		char *names = strchr(line, ':');
		char *path = names ? strchr(names + 1, ':') : NULL;

		if (!path || is_there(own, line))
			continue;
		*path++ = '\0';
		r = enter_cgroup(pid, names + 1, path);
		if (r < 0)
			return view_fail(error, MSG_TAKEOVER, path, strerror(-r));
	}
	return 0;
}

static int take_oom_score(const struct upgrade_target *target, pid_t pid, int self,
			  struct view_error *error)
{
	char theirs[NUMBER_SIZE], own[NUMBER_SIZE], path[64];
	int r;

	if (process_read(target->proc, "oom_score_adj", theirs, sizeof(theirs)) < 0 ||
	    process_read(self, "oom_score_adj", own, sizeof(own)) < 0)
		return fail("oom_score_adj", -ESRCH, error);
	if (strcmp(theirs, own) == 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
	r = write_file(path, theirs);
	return r < 0 ? fail("oom_score_adj", r, error) : 0;
}

/* How important it is. What cannot be had is no reason to fail. */
static void take_priority(const struct upgrade_target *target, pid_t pid)
{
	struct sched_param parameter = {};
	cpu_set_t processors;

	if (sched_getparam(target->pid, &parameter) == 0)
		sched_setscheduler(pid, sched_getscheduler(target->pid), &parameter);
	setpriority(PRIO_PROCESS, (id_t)pid, getpriority(PRIO_PROCESS, (id_t)target->pid));
	if (sched_getaffinity(target->pid, sizeof(processors), &processors) == 0)
		sched_setaffinity(pid, sizeof(processors), &processors);
}

int place_process(const struct upgrade_target *target, pid_t pid, struct view_error *error)
{
	cleanup_close int self = -EBADF;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", pid);
	self = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (self < 0)
		return fail(path, -errno, error);
	if (take_cgroups(target, pid, self, error) < 0 ||
	    take_oom_score(target, pid, self, error) < 0)
		return -ECANCELED;
	take_priority(target, pid);
	return 0;
}
