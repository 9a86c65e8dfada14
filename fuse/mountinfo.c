/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/mountinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fuse/text.h"

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
	    number_parse(id, 10, INT_MAX, &ret->id) < 0)
		return -EINVAL;
	/* Optional fields, as many as there are, then a dash. */
	do
		field = next_field(&line);
	while (field && strcmp(field, "-") != 0);
	ret->type = next_decoded(&line);
	ret->source = next_decoded(&line);
	ret->super = next_field(&line);
	return is_there(ret->type) && is_there(ret->super) ? 0 : -EINVAL;
}

static void close_file(FILE **file)
{
	if (*file)
		fclose(*file);
}

DEFINE_CLEANUP(FILE *, close_file)

static int find_id(uint64_t id, struct mount_entry *ret, char **ret_line)
{
	cleanup_with(close_file) FILE *file = fopen("/proc/self/mountinfo", "re");
	cleanup_free char *line = NULL;
	size_t capacity = 0;
	ssize_t n;

	if (!file)
		return -errno;
	while ((n = getline(&line, &capacity, file)) > 0) {
		/* The id comes first: only the line that counts is taken apart. */
		if (strtoull(line, NULL, 10) != id)
			continue;
		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		if (mount_entry_parse(line, ret) < 0)
			return -EINVAL;
		*ret_line = TAKE_PTR(line);
		return 1;
	}
	return ferror(file) ? -EIO : 0;
}

int mountinfo_find(int fd, struct mount_entry *ret, char **ret_line)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_MNT_ID,
		  &stx) < 0)
		return -errno;
	if (!(stx.stx_mask & STATX_MNT_ID))
		return -ENOSYS;
	if (!(stx.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return 0;
	return find_id(stx.stx_mnt_id, ret, ret_line);
}
