/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/source/mounted-overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "fuse/base/messages.h"
#include "fuse/base/text.h"
#include "fuse/source/hints.h"
#include "fuse/source/layer-path.h"

int mounted_options_parse(char *super, const char *name, struct overlay_options *ret,
			  struct view_error *error)
{
	char *option;

	while ((option = strsep(&super, ","))) {
		char *value = strchr(option, '=');

		if (value) {
			*value++ = '\0';
			text_decode_octal(value);
		}
		if (overlay_options_set(ret, option, value, name, error) < 0)
			return -ECANCELED;
	}
	return 0;
}

void mounted_overlay_done(struct mounted_overlay *overlay)
{
	overlay->root = close_keep_errno(overlay->root);
	free(TAKE_PTR(overlay->mountpoint));
}

int mounted_overlay_read(int *fd, const char *path, struct overlay_options *ret,
			 struct mounted_overlay *ret_overlay, struct mount_entry *ret_mount,
			 char **ret_line, struct view_error *error)
{
	cleanup_free char *name = NULL;
	int r = mountinfo_find(*fd, ret_mount, ret_line);

	if (r < 0)
		return view_fail(error, MSG_SYSTEM, "/proc/self/mountinfo", strerror(-r));
	if (r == 0 || strcmp(ret_mount->type, "overlay") != 0 || strcmp(ret_mount->root, "/") != 0)
		return 0;
	ret_overlay->mountpoint = strdup(ret_mount->mountpoint);
	if (!ret_overlay->mountpoint || asprintf(&name, "overlay at '%s'", path) < 0)
		return view_fail(error, MSG_NO_MEMORY);
	ret_overlay->root = TAKE_FD(*fd);
	return mounted_options_parse(ret_mount->super, name, ret, error) < 0 ? -ECANCELED : 1;
}

/* By errno. Returns: < 0 with *error*. */
static int fail_source(const char *path, struct view_error *error)
{
	int r = -errno;

	view_fail(error, MSG_SOURCE, path, strerror(-r));
	if (r == -EACCES && geteuid() == 0)
		hint_at_fuse(path, error);
	return -ECANCELED;
}

int directory_read(const char *path, struct overlay_options *ret, struct view_error *error)
{
	char *absolute = layer_path(path);

	if (!absolute && errno != ENOMEM)
		return fail_source(path, error);
	if (strings_take(&ret->lowers, absolute) < 0)
		return view_fail(error, MSG_NO_MEMORY);
	return 0;
}

/*
 * Whether *mount*, of which *fd* is the root, is all of a filesystem on a block device that is
 * written to, or may be through another mount of it. A subvolume of btrfs, whose root always has
 * that inode number, is one: a snapshot that a container writes to.
 */
static bool is_writable_disk(int fd, const struct mount_entry *mount)
{
	enum { BTRFS_SUBVOLUME_INO = 256 };
	bool on_block = major(mount->device) != 0 || strncmp(mount->source, "/dev/", 5) == 0;
	struct stat st;

	if (mount->filesystem_read_only || !on_block)
		return false;
	return strcmp(mount->root, "/") == 0 ||
	       (strcmp(mount->type, "btrfs") == 0 && fstat(fd, &st) == 0 &&
		st.st_ino == BTRFS_SUBVOLUME_INO);
}

int mounted_read(const char *path, struct overlay_options *ret, struct mounted_overlay *ret_overlay,
		 struct view_error *error)
{
	cleanup_close int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_free char *line = NULL;
	struct mount_entry mount;
	int r;

	if (fd < 0)
		return fail_source(path, error);
	r = mounted_overlay_read(&fd, path, ret, ret_overlay, &mount, &line, error);
	if (r != 0)
		return r < 0 ? r : 0;
	if (line && is_writable_disk(fd, &mount))
		return view_fail(error, MSG_DISK_WRITABLE, path, mount.type);
	return directory_read(path, ret, error);
}
