/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules: fs/overlayfs/util.c, ovl_path_check_xwhiteout_xattr(), ovl_get_dir_xattr_val(),
 * ovl_get_redirect_xattr() and ovl_check_metacopy_xattr().
 *
 * An O_PATH descriptor has no fgetxattr(2); its /proc/self/fd link has getxattr(2), which follows
 * that one magic link to the pinned inode and nothing else.
 */
#include "layerindex/layer/overlay-xattrs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "layerindex/cleanup.h"
#include "layerindex/descriptor.h"
#include "layerindex/layer/privilege.h"
#include "layerindex/layer/whiteout.h"

enum {
	METACOPY_SIZE_MIN = 4,	   /* OVL_METACOPY_MIN_SIZE */
	REDIRECT_SIZE_MAX = 65536, /* XATTR_SIZE_MAX */
};

static const struct {
	enum overlay_xattr mark;
	char trusted[28], user[28];
} names[] = {
	{OVL_XATTR_WHITEOUT, "trusted.overlay.whiteout", "user.overlay.whiteout"},
	{OVL_XATTR_OPAQUE, "trusted.overlay.opaque", "user.overlay.opaque"},
	{OVL_XATTR_METACOPY, "trusted.overlay.metacopy", "user.overlay.metacopy"},
	{OVL_XATTR_REDIRECT, "trusted.overlay.redirect", "user.overlay.redirect"},
};

int overlay_xattrs_visible(bool userxattr)
{
	int initial = in_initial_user_namespace();

	if (initial < 0 || userxattr)
		return initial < 0 ? initial : 0;
	return initial && has_sys_admin() ? 0 : -EPERM;
}

/* Returns: the attribute's size, or -errno; a *size* of 0 only asks for it. */
static ssize_t mark_get(int fd, const char *name, void *value, size_t size)
{
	char link[DESCRIPTOR_PATH];
	ssize_t n;

	descriptor_path(fd, link);
	n = getxattr(link, name, value, size);
	if (n >= 0)
		return n;
	/* The inode is pinned: a name that is missing can only be /proc's. */
	return errno == ENOENT || errno == ENOTDIR ? -ESTALE : -errno;
}

static bool is_absent(ssize_t r)
{
	return r == -ENODATA || r == -EOPNOTSUPP;
}

/* Any value counts, even an empty one. */
static int whiteout_read(int fd, const char *name)
{
	ssize_t n = mark_get(fd, name, NULL, 0);

	return n == -ESTALE ? -ESTALE : n >= 0;
}

/* Exactly the one byte "y": what does not fit fails with ERANGE and counts as absent. */
static int opaque_read(int fd, const char *name)
{
	char value;
	ssize_t n = mark_get(fd, name, &value, 1);

	return n == -ESTALE ? -ESTALE : n == 1 && value == 'y';
}

static int metacopy_read(int fd, const char *name, bool userxattr, bool *ret_invalid)
{
	ssize_t n = mark_get(fd, name, NULL, 0);

	/* user.* of a file that may not be read: as the kernel, there is not much we can do. */
	if (is_absent(n) || (userxattr && n == -EACCES))
		return 0;
	if (n < 0)
		return (int)n;
	*ret_invalid = true;
	/* Empty stands for the smallest one. What is too large is refused as any other, later. */
	return n == 0 || n >= METACOPY_SIZE_MIN ? 1 : -EIO;
}

static bool redirect_is_valid(const char *value)
{
	if (*value != '/')
		return !strchr(value, '/');
	/* Absolute: every component must have a name, the last one too. */
	while (*value == '/') {
		size_t n = strcspn(++value, "/");

		if (n == 0)
			return false;
		value += n;
	}
	return true;
}

static int redirect_read(int fd, const char *name, bool *ret_invalid)
{
	ssize_t n = mark_get(fd, name, NULL, 0);
	cleanup_free char *value = NULL;

	if (is_absent(n))
		return 0;
	if (n < 0)
		return (int)n;
	*ret_invalid = true;
	if (n == 0)
		return -EINVAL;
	*ret_invalid = false;
	value = malloc(REDIRECT_SIZE_MAX + 1);
	if (!value)
		return -ENOMEM;
	n = mark_get(fd, name, value, REDIRECT_SIZE_MAX);
	if (n < 0)
		return (int)n;
	value[n] = '\0';
	*ret_invalid = true;
	return redirect_is_valid(value) ? 1 : -EINVAL;
}

static int mark_read(int fd, enum overlay_xattr mark, const char *name, bool userxattr,
		     bool *ret_invalid)
{
	switch (mark) {
	case OVL_XATTR_WHITEOUT: return whiteout_read(fd, name);
	case OVL_XATTR_OPAQUE: return opaque_read(fd, name);
	case OVL_XATTR_METACOPY: return metacopy_read(fd, name, userxattr, ret_invalid);
	case OVL_XATTR_REDIRECT: return redirect_read(fd, name, ret_invalid);
	}
	return 0;
}

int overlay_xattrs_read(int fd, unsigned wanted, bool userxattr, bool is_dir, unsigned *ret,
			bool *ret_invalid)
{
	unsigned found = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		enum overlay_xattr mark = names[i].mark;
		int r;

		if (!(wanted & mark))
			continue;
		if (mark == OVL_XATTR_REDIRECT && !is_dir && !(found & OVL_XATTR_METACOPY))
			continue;
		*ret_invalid = false;
		r = mark_read(fd, mark, userxattr ? names[i].user : names[i].trusted, userxattr,
			      ret_invalid);
		if (r < 0)
			return r;
		if (r > 0)
			found |= mark;
		if (found & (OVL_XATTR_WHITEOUT | OVL_XATTR_OPAQUE))
			break;
	}
	*ret = found;
	return 0;
}
