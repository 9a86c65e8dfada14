/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/mount/mount-table.h"

#include <errno.h>

#include "fuse/base/log.h"

/* libmount's convention: > 0 skips the line. */
static int skip_line(struct libmnt_table *table, const char *path, int line)
{
	(void)table;
	log_warn("%s: line %d cannot be parsed and is skipped", path, line);
	return 1;
}

int mount_table_read(const char *path, struct libmnt_table **ret)
{
	cleanup_with(mount_table_done) struct libmnt_table *table = mnt_new_table();
	int r;

	if (!table)
		return -ENOMEM;
	mnt_table_set_parser_errcb(table, skip_line);
	r = mnt_table_parse_file(table, path ? path : "/proc/self/mountinfo");
	if (r != 0)
		return r < 0 ? r : -EINVAL;
	*ret = TAKE_PTR(table);
	return 0;
}

/* Not there is as good as empty. */
static const char *or_empty(const char *string)
{
	return string ? string : "";
}

bool mount_table_next(struct libmnt_table *table, struct libmnt_iter *iter, struct mount_entry *ret,
		      const char **ret_super)
{
	struct libmnt_fs *fs;

	if (mnt_table_next_fs(table, iter, &fs) != 0)
		return false;
	*ret = (struct mount_entry){
		.id = (uint64_t)mnt_fs_get_id(fs),
		.device = mnt_fs_get_devno(fs),
		.root = or_empty(mnt_fs_get_root(fs)),
		.mountpoint = or_empty(mnt_fs_get_target(fs)),
		.type = or_empty(mnt_fs_get_fstype(fs)),
		.source = or_empty(mnt_fs_get_srcpath(fs)),
	};
	*ret_super = or_empty(mnt_fs_get_fs_options(fs));
	return true;
}
