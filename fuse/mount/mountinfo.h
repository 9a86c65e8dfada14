/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/self/mountinfo, read without libmount: the process that runs per container does not link
 * it. Lines may be of any length.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "layerindex/cleanup.h"

/* One line (proc_pid_mountinfo(5)); the strings lie in the line that was parsed. */
struct mount_entry {
	uint64_t id;
	dev_t device;
	const char *root;	/* decoded */
	const char *mountpoint; /* decoded */
	const char *type;	/* decoded; with its subtype, as in "fuse.urunc-viewfs" */
	const char *source;	/* decoded */
	char *super;		/* the filesystem's own options, still escaped */
	bool read_only;		/* this mount of the filesystem */
	bool filesystem_read_only;
};

/* Parses *line*, which is changed, without its newline. Returns: 0 or -EINVAL. */
int mount_entry_parse(char *line, struct mount_entry *ret);

/*
 * Parses the owner of a FUSE mount from the filesystem's own options: its user_id= and group_id=,
 * which the kernel wrote. Returns: 0, or -EINVAL: there are none.
 */
int mount_entry_owner(const char *super, uid_t *ret_user, gid_t *ret_group);

/* Parses "MAJOR:MINOR". Returns: 0 or -EINVAL. */
int device_parse(const char *text, dev_t *ret);

/* All lines, one after the other. */
struct mountinfo {
	FILE *file;
	char *line;
	size_t capacity;
};

/* Returns: 0, with *ret* owned by the caller, or -errno. */
int mountinfo_open(struct mountinfo *ret);

/*
 * The next line, the topmost mount of a place last; its strings are borrowed until the next call.
 * Returns: > 0 with *ret*; 0 at the end; < 0: -errno.
 */
int mountinfo_next(struct mountinfo *mountinfo, struct mount_entry *ret);

/*
 * The same, of which only the id and the device are parsed: *mountinfo->line* is the line, for
 * mount_entry_parse(). Returns: as mountinfo_next().
 */
int mountinfo_next_id(struct mountinfo *mountinfo, uint64_t *ret_id, dev_t *ret_device);

/* The line that was read last, and the strings in it, which are then owned by the caller. */
char *mountinfo_take_line(struct mountinfo *mountinfo);

void mountinfo_close(struct mountinfo *mountinfo);
DEFINE_CLEANUP(struct mountinfo, mountinfo_close)

/*
 * Finds the mount whose root *fd* (which may be O_PATH) is. Never asks the filesystem itself
 * anything, so a dead or hanging one is no danger.
 *
 * Returns: > 0: found, with *ret, whose strings lie in the owned *ret_line; 0: *fd* is not the
 *	root of a mount, or of one that this namespace does not show; < 0: -errno.
 */
int mountinfo_find(int fd, struct mount_entry *ret, char **ret_line);
