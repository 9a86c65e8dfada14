/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No locks: a file is written without a name and linked when it is complete, so that a reader sees
 * all of it or none, and a writer that dies leaves nothing but, at one moment, a name that
 * li_index_each() calls temporary.
 */
#include "layerindex/index/index.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "layerindex/file/new-file.h"

enum {
	USED_SECONDS = 3600, /* how exactly the time of the last use is known */
	READ_FLAGS = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
};

/* Whether only this user can have written it. */
static bool is_ours(const struct stat *st)
{
	return st->st_uid == geteuid() && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

/* random(4)'s boot_id, as 32 hexadecimal digits with dashes between. */
static int read_boot(uint8_t ret[static 16])
{
	static const char hexadecimal[] = "0123456789abcdef";
	cleanup_close int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[64] = "";
	size_t digits = 0;

	if (fd < 0)
		return -errno;
	if (read(fd, text, sizeof(text) - 1) < 0)
		return -errno;
	for (const char *p = text; *p && digits < 32; p++) {
		const char *digit = strchr(hexadecimal, *p);

		if (*p == '-')
			continue;
		if (!digit)
			break;
		ret[digits / 2] = (uint8_t)(ret[digits / 2] << 4 | (digit - hexadecimal));
		digits++;
	}
	return digits == 32 ? 0 : -EINVAL;
}

/* Whether an index in the filesystem of *fd* outlives the boot, and if so which one it is. */
static int identify_boot(struct li_index *index, int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return -errno;
	return fs.f_type == TMPFS_MAGIC ? 0 : read_boot(index->boot);
}

/* Takes *fd* over if it is what an index must be. */
static int take_directory(struct li_index *index, int fd)
{
	cleanup_close int owned = fd;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	r = is_ours(&st) ? identify_boot(index, fd) : -EPERM;
	if (r == 0)
		index->fd = TAKE_FD(owned);
	return r;
}

/* Opens the directory above the last *n* names of a path, or of fewer, if those are there. */
static int open_above(const char *path, unsigned n, size_t *ret_length)
{
	size_t length = strlen(path);
	int fd = -1;

	errno = ENOENT;
	for (; n > 0 && fd < 0 && errno == ENOENT; n--) {
		cleanup_free char *above = NULL;

		while (length > 1 && path[length - 1] == '/')
			length--;
		while (length > 0 && path[length - 1] != '/')
			length--;
		above = length > 0 ? strndup(path, length) : strdup(".");
		fd = above ? open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	}
	*ret_length = length;
	return fd < 0 ? -errno : fd;
}

/* Remembers where to make an index, if it can be made there. */
static int plan(struct li_index *index, const char *path, unsigned make)
{
	size_t length;
	struct stat st;

	index->above = open_above(path, make, &length);
	if (index->above < 0)
		return index->above;
	if (fstatat(index->above, path + length, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return -ENOENT; /* a link that leads nowhere */
	if (faccessat(index->above, ".", W_OK | X_OK, AT_EACCESS) < 0)
		return -errno;
	index->name = strdup(path + length);
	return index->name ? identify_boot(index, index->above) : -ENOMEM;
}

int li_index_open(const char *path, unsigned make, struct li_index **ret)
{
	struct li_index *index = calloc(1, sizeof(*index));
	int r;

	if (!index)
		return -ENOMEM;
	index->fd = index->above = -EBADF;
	r = take_directory(index, open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (r == -ENOENT && make > 0)
		r = plan(index, path, make);
	if (r < 0) {
		li_index_close(index);
		return r;
	}
	*ret = index;
	return 0;
}

int li_index_make(struct li_index *index)
{
	if (index->fd >= 0)
		return 0;
	for (char *slash = index->name; (slash = strchr(slash, '/')) && slash[1]; slash++) {
		*slash = '\0';
		mkdirat(index->above, index->name, 0755);
		*slash = '/';
	}
	if (mkdirat(index->above, index->name, 0700) < 0 && errno != EEXIST)
		return -errno;
	return take_directory(index, openat(index->above, index->name,
					    O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

void li_index_close(struct li_index *index)
{
	if (!index)
		return;
	close_keep_errno(index->fd);
	close_keep_errno(index->above);
	free(index->name);
	free(index);
}

/* So that the others are evicted first. */
static void note_use(int fd, const struct stat *st)
{
	if (st->st_mtim.tv_sec + USED_SECONDS < time(NULL))
		futimens(fd, NULL);
}

/* Opens a file that only this user can have written; *st* is what it is. */
static int open_entry(const struct li_index *index, const char *name, struct stat *st)
{
	cleanup_close int fd = -EBADF;

	if (index->fd < 0)
		return -ENOENT;
	fd = openat(index->fd, name, READ_FLAGS);
	if (fd < 0)
		return errno == ELOOP ? -EINVAL : -errno;
	if (fstat(fd, st) < 0)
		return -errno;
	return S_ISREG(st->st_mode) && is_ours(st) && st->st_size <= FACTS_FILE_MAX ? TAKE_FD(fd)
										    : -EINVAL;
}

static int read_facts(int fd, size_t size, struct chain *ret_chain, struct facts *ret)
{
	cleanup_free void *bytes = malloc(size + 1);
	ssize_t n;

	if (!bytes)
		return -ENOMEM;
	n = read(fd, bytes, size);
	return n < 0 ? -errno : facts_file_decode(bytes, (size_t)n, ret_chain, ret);
}

int index_read(const struct li_index *index, const char *name, struct chain *ret_chain,
	       struct facts *ret)
{
	struct stat st = {};
	cleanup_close int fd = open_entry(index, name, &st);

	return fd < 0 ? fd : read_facts(fd, (size_t)st.st_size, ret_chain, ret);
}

int index_load(const struct li_index *index, const struct chain_key *key, struct chain *ret_chain,
	       struct facts *ret)
{
	char name[CHAIN_KEY_NAME + 1];
	cleanup_close int fd = -EBADF;
	struct stat st = {};
	int r;

	chain_key_name(key, name);
	fd = open_entry(index, name, &st);
	if (fd < 0)
		return fd;
	r = read_facts(fd, (size_t)st.st_size, ret_chain, ret);
	if (r == 0 && memcmp(&ret_chain->key, key, sizeof(*key)) != 0) {
		facts_done(ret);
		return -EINVAL;
	}
	if (r == 0)
		note_use(fd, &st);
	return r;
}

int index_publish(const struct li_index *index, const struct chain *chain,
		  const struct facts *facts)
{
	cleanup_close int fd = -EBADF;
	cleanup_free void *bytes = NULL;
	char name[CHAIN_KEY_NAME + 1];
	size_t size;
	ssize_t n;
	int r = facts_file_encode(chain, facts, &bytes, &size);

	if (r < 0)
		return r;
	fd = openat(index->fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	n = write(fd, bytes, size);
	if (n < 0)
		return -errno;
	if ((size_t)n < size)
		return -ENOSPC;
	chain_key_name(&chain->key, name);
	return new_file_link(fd, index->fd, name, true);
}
