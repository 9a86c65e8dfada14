/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/mount/mountinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "fuse/base/text.h"

/* Cuts the next field off *rest* at a space. Returns: NULL when there is none. */
static char *next_field(char **rest)
{
	char *field = *rest;
	char *space;

	if (!field)
		return NULL;
	space = strchr(field, ' ');
	if (space)
		*space++ = '\0';
	*rest = space;
	return field;
}

static char *next_decoded(char **rest)
{
	char *field = next_field(rest);

	if (field)
		text_decode_octal(field);
	return field;
}

/* Only the source may be empty. */
static bool is_there(const char *field)
{
	return field && *field;
}

/* Of a list of options that the kernel prints: it begins with "ro" or "rw". */
static bool begins_with_ro(const char *options)
{
	return strncmp(options, "ro", 2) == 0 && (!options[2] || options[2] == ',');
}

int device_parse(const char *text, dev_t *ret)
{
	size_t length = strcspn(text, ":");
	uint64_t major, minor;
	char digits[16];

	if (length >= sizeof(digits) || !text[length])
		return -EINVAL;
	memcpy(digits, text, length);
	digits[length] = '\0';
	if (parse_uint(digits, 10, UINT32_MAX, &major) < 0 ||
	    parse_uint(text + length + 1, 10, UINT32_MAX, &minor) < 0)
		return -EINVAL;
	*ret = makedev((unsigned)major, (unsigned)minor);
	return 0;
}

/* Parses the number of an option. Returns: 0 or -EINVAL. */
static int find_number(const char *options, const char *name, uint32_t *ret)
{
	size_t length = strlen(name);
	char digits[16];
	uint64_t number;

	for (const char *at = options; at; at = strchr(at, ',')) {
		size_t n;

		at += *at == ',';
		if (strncmp(at, name, length) != 0)
			continue;
		n = strcspn(at + length, ",");
		if (n >= sizeof(digits))
			return -EINVAL;
		memcpy(digits, at + length, n);
		digits[n] = '\0';
		if (parse_uint(digits, 10, UINT32_MAX, &number) < 0)
			return -EINVAL;
		*ret = (uint32_t)number;
		return 0;
	}
	return -EINVAL;
}

int mount_entry_owner(const char *super, uid_t *ret_user, gid_t *ret_group)
{
	uint32_t user, group;

	if (find_number(super, "user_id=", &user) < 0 ||
	    find_number(super, "group_id=", &group) < 0)
		return -EINVAL;
	*ret_user = user;
	*ret_group = group;
	return 0;
}

/* The id is an int in the kernel, struct mount's mnt_id. */
int mount_entry_parse(char *line, struct mount_entry *ret)
{
	char *id = next_field(&line);
	char *parent = next_field(&line);
	char *device = next_field(&line);
	char *field;

	ret->root = next_decoded(&line);
	ret->mountpoint = next_decoded(&line);
	field = next_field(&line);
	if (!is_there(parent) || !is_there(device) || !is_there(ret->root) ||
	    !is_there(ret->mountpoint) || !is_there(field) ||
	    parse_uint(id, 10, INT_MAX, &ret->id) < 0 || device_parse(device, &ret->device) < 0)
		return -EINVAL;
	ret->read_only = begins_with_ro(field);
	/* Optional fields, as many as there are, then a dash. */
	do
		field = next_field(&line);
	while (field && strcmp(field, "-") != 0);
	ret->type = next_decoded(&line);
	ret->source = next_decoded(&line);
	ret->super = next_field(&line);
	if (!is_there(ret->type) || !is_there(ret->super))
		return -EINVAL;
	ret->filesystem_read_only = begins_with_ro(ret->super);
	return 0;
}

int mountinfo_open(struct mountinfo *ret)
{
	*ret = (struct mountinfo){.file = fopen("/proc/self/mountinfo", "re")};
	return ret->file ? 0 : -errno;
}

void mountinfo_close(struct mountinfo *mountinfo)
{
	if (mountinfo->file)
		fclose(mountinfo->file);
	free(mountinfo->line);
	*mountinfo = (struct mountinfo){};
}

/* Returns: > 0: mountinfo->line is the next line; 0: there is none; < 0: -errno. */
static int next_line(struct mountinfo *mountinfo)
{
	ssize_t n = getline(&mountinfo->line, &mountinfo->capacity, mountinfo->file);

	if (n <= 0)
		return ferror(mountinfo->file) ? -EIO : 0;
	if (mountinfo->line[n - 1] == '\n')
		mountinfo->line[n - 1] = '\0';
	return 1;
}

int mountinfo_next(struct mountinfo *mountinfo, struct mount_entry *ret)
{
	int r = next_line(mountinfo);

	if (r <= 0)
		return r;
	r = mount_entry_parse(mountinfo->line, ret);
	return r < 0 ? r : 1;
}

int mountinfo_next_id(struct mountinfo *mountinfo, uint64_t *ret_id, dev_t *ret_device)
{
	unsigned major, minor;
	int r = next_line(mountinfo);

	if (r <= 0)
		return r;
	/* The kernel's own numbers: "ID PARENT MAJOR:MINOR". */
	/* NOLINTNEXTLINE(cert-err34-c): a number that does not fit is another one. */
	if (sscanf(mountinfo->line, "%" SCNu64 " %*u %u:%u", ret_id, &major, &minor) != 3)
		return -EINVAL;
	*ret_device = makedev(major, minor);
	return 1;
}

char *mountinfo_take_line(struct mountinfo *mountinfo)
{
	mountinfo->capacity = 0;
	return TAKE_PTR(mountinfo->line);
}

static int find_id(uint64_t id, struct mount_entry *ret, char **ret_line)
{
	cleanup_with(mountinfo_close) struct mountinfo mountinfo = {};
	int r = mountinfo_open(&mountinfo);

	if (r < 0)
		return r;
	while ((r = next_line(&mountinfo)) > 0) {
		/* The id comes first: only the line that counts is taken apart. */
		if (strtoull(mountinfo.line, NULL, 10) != id)
			continue;
		if (mount_entry_parse(mountinfo.line, ret) < 0)
			return -EINVAL;
		*ret_line = mountinfo_take_line(&mountinfo);
		return 1;
	}
	return r;
}

int mountinfo_find(int fd, struct mount_entry *ret, char **ret_line)
{
	struct statx stx;

	/* With an empty mask: FUSE tells other users than the mount's nothing more. */
	if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, 0, &stx) < 0)
		return -errno;
	if (!(stx.stx_mask & STATX_MNT_ID))
		return -ENOSYS;
	if (!(stx.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return 0;
	return find_id(stx.stx_mnt_id, ret, ret_line);
}
