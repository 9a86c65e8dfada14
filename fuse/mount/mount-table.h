/* SPDX-License-Identifier: Apache-2.0 */
/* The mounts of a namespace, read by libmount: for viewfsctl, which is no process per container. */
#pragma once

#include <libmount.h>
#include <stdbool.h>

#include "fuse/mount/mountinfo.h"

static inline void mount_table_done(struct libmnt_table **table)
{
	mnt_unref_table(*table);
}
DEFINE_CLEANUP(struct libmnt_table *, mount_table_done)

static inline void mount_iter_done(struct libmnt_iter **iter)
{
	mnt_free_iter(*iter);
}
DEFINE_CLEANUP(struct libmnt_iter *, mount_iter_done)

/*
 * Reads *path*, a file as mountinfo(5); NULL: this process's own. A line that cannot be parsed is
 * skipped with a warning, since the other mounts are there nevertheless.
 * Returns: 0, with *ret* owned by the caller (mount_table_done()), or -errno.
 */
int mount_table_read(const char *path, struct libmnt_table **ret);

/*
 * The next mount, the topmost one of a place last, and the filesystem's own options, in *ret_super
 * and not in *ret*, which does not tell either whether anything is read-only. All strings are
 * borrowed from the table. Returns: whether there is one.
 */
bool mount_table_next(struct libmnt_table *table, struct libmnt_iter *iter, struct mount_entry *ret,
		      const char **ret_super);
