/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/fill/tree-check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "fuse/base/messages.h"
#include "fuse/mount/mountinfo.h"
#include "fuse/source/bundle.h"

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Whether *mount* has the filesystem's own option "ro", which stands first or not at all. */
static bool is_read_only(const struct mount_entry *mount)
{
	return strncmp(mount->super, "ro", 2) == 0 && strchr(",", mount->super[2]);
}

/*
 * Whether writes to the tree are possible elsewhere: a container's disk is mounted there. A bind of
 * a part of a filesystem, a snapshot directory, says nothing of the rest of it; an overlay is
 * a container's if it has an upper directory, whatever part of it was bound.
 */
static bool is_written_elsewhere(const struct mount_entry *mount)
{
	bool is_part = strcmp(mount->root, "/") != 0 && strcmp(mount->type, "overlay") != 0;

	return !is_part && !is_read_only(mount);
}

static int check_mount(int fd, const char *path, struct view_error *error)
{
	cleanup_free char *line = NULL;
	struct mount_entry mount;
	struct stat st, root;
	struct statvfs fs;
	int r = mountinfo_find(fd, &mount, &line);

	if (r < 0)
		return view_fail(error, MSG_SYSTEM, "/proc/self/mountinfo", strerror(-r));
	if (fstat(fd, &st) < 0 || stat("/", &root) < 0 || fstatvfs(fd, &fs) < 0)
		return view_fail(error, MSG_TREE, path, strerror(errno));
	if (is_same_file(&st, &root))
		return view_fail(error, MSG_TREE, path, "it is the root filesystem");
	if (r == 0)
		return view_fail(error, MSG_TREE, path, "nothing is mounted there");
	if (!(fs.f_flag & ST_RDONLY))
		return view_fail(error, MSG_TREE, path, "the mount is writable (mount it ro)");
	if (is_written_elsewhere(&mount))
		return view_fail(error, MSG_TREE, path,
				 "its filesystem is mounted writable elsewhere");
	return 0;
}

/* Whether *path*, or a directory above it, is the rootfs of the bundle *directory*. */
static bool is_rootfs_of(const char *directory, const char *path)
{
	cleanup_with(bundle_config_done) struct bundle_config config = {};
	cleanup_free char *joined = NULL, *rootfs = NULL;
	VIEW_ERROR(ignored);
	size_t n;

	if (bundle_config_read(directory, &config, &ignored) < 0)
		return false;
	if (*config.rootfs == '/')
		joined = strdup(config.rootfs);
	else if (asprintf(&joined, "%s/%s", directory, config.rootfs) < 0)
		joined = NULL;
	rootfs = joined ? realpath(joined, NULL) : NULL;
	n = rootfs ? strlen(rootfs) : 0;
	return n > 0 && strncmp(path, rootfs, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* Any directory above it may be a bundle. */
static int check_bundles(const char *path, struct view_error *error)
{
	cleanup_free char *real = realpath(path, NULL);
	cleanup_free char *above = real ? strdup(real) : NULL;
	char *slash;

	if (!above)
		return view_fail(error, MSG_TREE, path, strerror(errno));
	while ((slash = strrchr(above, '/')) && slash > above) {
		*slash = '\0';
		if (is_rootfs_of(above, real))
			return view_fail(error, MSG_TREE, path, "it is in a container's rootfs");
	}
	return 0;
}

int tree_open(const char *path, struct view_error *error)
{
	cleanup_close int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return view_fail(error, MSG_TREE, path, strerror(errno));
	if (check_mount(fd, path, error) < 0 || check_bundles(path, error) < 0)
		return -ECANCELED;
	return TAKE_FD(fd);
}
