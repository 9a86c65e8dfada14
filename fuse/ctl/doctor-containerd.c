/* SPDX-License-Identifier: Apache-2.0 */
/* The caller of views: containerd, its snapshots, its shim, and urunc's configuration. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fuse/base/io.h"
#include "fuse/ctl/doctor-findings.h"
#include "fuse/ctl/toml.h"
#include "fuse/ctl/unit-file.h"
#include "fuse/process/run-with-timeout.h"
#include "fuse/process/self-exe.h"

enum {
	ANSWER_SECONDS = 5,
	VALUE_SIZE = 64, /* of a snapshotter's name */
	ENVIRONMENT_MAX = 1 << 20,
};

void check_containerd(struct findings *findings)
{
	char mode[KILL_MODE_SIZE];

	if (!unit_find_kill_mode("containerd.service", mode))
		return;
	if (strcmp(mode, "process") == 0)
		findings_add(findings, SEVERITY_OK, "containerd", NULL,
			     "KillMode=process: views outlive a restart of containerd");
	else
		findings_add(findings, SEVERITY_WARNING, "containerd",
			     "systemctl edit containerd: KillMode=process in [Service]",
			     "KillMode=%s: stopping containerd.service ends every view that was "
			     "mounted from it",
			     mode);
}

#define SNAPSHOTS "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs"

enum { ON_DISK, ON_OVERLAY, ON_FUSE, NOT_THERE };

static int find_filesystem(void *argument)
{
	struct statfs st;

	if (statfs(argument, &st) < 0)
		return NOT_THERE;
	return st.f_type == OVERLAYFS_SUPER_MAGIC ? ON_OVERLAY
	       : st.f_type == FUSE_SUPER_MAGIC	  ? ON_FUSE
						  : ON_DISK;
}

/* The kernel stacks filesystems two deep (FILESYSTEM_MAX_STACK_DEPTH), a view among them. */
void check_snapshots(struct findings *findings)
{
	static char path[] = SNAPSHOTS;
	int r = run_with_timeout(find_filesystem, path, ANSWER_SECONDS);

	if (r == ON_DISK)
		findings_add(findings, SEVERITY_OK, "snapshots", NULL,
			     SNAPSHOTS " is not on a stacked filesystem");
	else if (r == ON_OVERLAY || r == ON_FUSE)
		findings_add(findings, SEVERITY_NOTE, "snapshots",
			     "move containerd's root to a disk filesystem",
			     SNAPSHOTS " is on %s: a view of it cannot be a layer of an overlay, "
				       "and may have no passthrough",
			     r == ON_OVERLAY ? "an overlay" : "FUSE");
	else if (r == -ETIMEDOUT)
		findings_add(findings, SEVERITY_WARNING, "snapshots",
			     "check the filesystem that holds it", SNAPSHOTS " does not answer");
}

/* containerd's own, k3s's and rke2's. */
static const char *const configurations[] = {
	"/etc/containerd/config.toml",
	"/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
	"/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
};

/* Tables of versions 1 to 3: of all runtimes, and that in which a runtime has one of its name. */
static const char *const default_tables[] = {
	"plugins.cri.containerd",
	"plugins.io.containerd.grpc.v1.cri.containerd",
	"plugins.io.containerd.cri.v1.images",
};
static const char *const urunc_tables[] = {
	"plugins.cri.containerd.runtimes.urunc",
	"plugins.io.containerd.grpc.v1.cri.containerd.runtimes.urunc",
	"plugins.io.containerd.cri.v1.runtime.containerd.runtimes.urunc",
};

enum { VERSIONS = sizeof(default_tables) / sizeof(*default_tables) };

/* What the name of a snapshotter means for views. */
static const struct {
	const char *name;
	enum severity severity;
	const char *meaning;
} snapshotters[] = {
	{"overlayfs", SEVERITY_OK, "views are made from the layers' directories"},
	{"erofs", SEVERITY_OK, "views are made from the mounted layers"},
	{"devmapper", SEVERITY_NOTE, "images have no layer directories"},
	{"blockfile", SEVERITY_NOTE, "images have no layer directories"},
	{"btrfs", SEVERITY_NOTE, "a container's tree is its own, and writable"},
	{"native", SEVERITY_NOTE, "a container's tree is its own, and writable"},
	{"zfs", SEVERITY_NOTE, "a container's tree is its own, and writable"},
};

static void add_snapshotter(struct findings *findings, const char *path, const char *of,
			    const char *name)
{
	static const char fix[] = "views come from the artifact store: viewfsctl store add";

	for (size_t i = 0; i < sizeof(snapshotters) / sizeof(*snapshotters); i++) {
		enum severity severity = snapshotters[i].severity;

		if (strcmp(snapshotters[i].name, name) != 0)
			continue;
		findings_add(findings, severity, "snapshotter",
			     severity == SEVERITY_OK ? NULL : fix, "%s: %s%s: %s", path, name, of,
			     snapshotters[i].meaning);
		return;
	}
	findings_add(findings, SEVERITY_NOTE, "snapshotter",
		     "viewfsctl resolve --container=ID tells what a view of a container has",
		     "%s: %s%s: another one, whose layers may lie on FUSE", path, name, of);
}

static bool find_snapshotter(const char *text, const char *const *tables, char ret[VALUE_SIZE])
{
	for (int i = 0; i < VERSIONS; i++)
		if (toml_string(text, tables[i], "snapshotter", ret, VALUE_SIZE) && *ret)
			return true;
	return false;
}

/* The snapshotter of pods, and urunc's if that is another one. */
void check_snapshotter(struct findings *findings)
{
	for (size_t i = 0; i < sizeof(configurations) / sizeof(*configurations); i++) {
		cleanup_free char *text = file_text(configurations[i]);
		char common[VALUE_SIZE] = "overlayfs", urunc[VALUE_SIZE];

		if (!text)
			continue;
		find_snapshotter(text, default_tables, common);
		add_snapshotter(findings, configurations[i], "", common);
		if (find_snapshotter(text, urunc_tables, urunc) && strcmp(urunc, common) != 0)
			add_snapshotter(findings, configurations[i], " for urunc", urunc);
	}
}

#define URUNC_CONFIGURATION "/etc/urunc/config.toml"

/* urunc names the programs that it runs in tables of this kind. */
void check_urunc(struct findings *findings)
{
	cleanup_free char *text = file_text(URUNC_CONFIGURATION);
	char path[PATH_MAX];

	if (!text)
		return;
	if (!toml_string(text, "extra_binaries." PROGRAM_NAME, "path", path, sizeof(path)) ||
	    !*path)
		findings_add(findings, SEVERITY_OK, "urunc", NULL,
			     URUNC_CONFIGURATION " names no path of " PROGRAM_NAME
						 ": the shim looks for it on PATH");
	else if (access(path, X_OK) == 0)
		findings_add(findings, SEVERITY_OK, "urunc", NULL, URUNC_CONFIGURATION " names %s",
			     path);
	else
		findings_add(findings, SEVERITY_WARNING, "urunc",
			     "name the installed program in [extra_binaries." PROGRAM_NAME "]",
			     URUNC_CONFIGURATION " names %s: %s", path, strerror(errno));
}

/* What a process of its own finds out about containerd, whose environment its shims inherit. */
struct shim_path {
	bool is_running;
	char found[PATH_MAX]; /* the program, "" for none */
};

/* Looks in the directories of *list*, as process *pid* sees them. */
static void search_path(const char *pid, const char *list, struct shim_path *ret)
{
	while (*list && !*ret->found) {
		int length = (int)strcspn(list, ":");
		char path[PATH_MAX];

		if (*list == '/' &&
		    snprintf(path, sizeof(path), "/proc/%s/root%.*s/" PROGRAM_NAME, pid, length,
			     list) < PATH_MAX &&
		    access(path, X_OK) == 0)
			snprintf(ret->found, sizeof(ret->found), "%.*s/" PROGRAM_NAME, length,
				 list);
		list += length;
		list += *list == ':';
	}
}

/* Whether it is root's, and called containerd. */
static bool is_containerd(const char *pid)
{
	char path[NAME_MAX + 32];
	cleanup_free char *name = NULL;
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	if (!isdigit((unsigned char)*pid) || stat(path, &st) < 0 || st.st_uid != 0)
		return false;
	name = file_text(path);
	return name && strcmp(name, "containerd\n") == 0;
}

static void read_environment(const char *pid, struct shim_path *ret)
{
	cleanup_close int fd = -EBADF;
	cleanup_free char *text = NULL;
	char path[NAME_MAX + 32];
	size_t n;

	snprintf(path, sizeof(path), "/proc/%s/environ", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read_all(fd, ENVIRONMENT_MAX, &text, &n) < 0)
		return;
	ret->is_running = true;
	for (const char *line = text; line < text + n; line += strlen(line) + 1)
		if (strncmp(line, "PATH=", 5) == 0)
			search_path(pid, line + 5, ret);
}

static int find_shims_path(void *argument)
{
	struct shim_path *ret = argument;
	DIR *processes = opendir("/proc");
	const struct dirent *entry;

	while (processes && !ret->is_running && (entry = readdir(processes)))
		if (is_containerd(entry->d_name))
			read_environment(entry->d_name, ret);
	if (processes)
		closedir(processes);
	return 0;
}

static void add_shims_path(struct findings *findings, const char *found)
{
	if (*found)
		findings_add(findings, SEVERITY_OK, "shim", NULL,
			     "the PATH of containerd and its shims leads to %s", found);
	else
		findings_add(
			findings, SEVERITY_WARNING, "shim",
			"add its directory to PATH in containerd.service, or link it there",
			"no directory on the PATH of containerd and its shims holds " PROGRAM_NAME);
}

void check_shim(struct findings *findings)
{
	struct shim_path *shim = mmap(NULL, sizeof(*shim), PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shim == MAP_FAILED)
		return;
	if (run_with_timeout(find_shims_path, shim, ANSWER_SECONDS) == 0 && shim->is_running)
		add_shims_path(findings, shim->found);
	munmap(shim, sizeof(*shim));
}
