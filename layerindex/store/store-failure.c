/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What could not be added, by manifest: so that a broken image is not unpacked again for each of
 * its containers. The time of a file's last modification is that of the failure.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "layerindex/file/little-endian.h"
#include "layerindex/hash/siphash.h"
#include "layerindex/store/store-dir.h"

static const char magic[4] = {'U', 'V', 'S', 'E'};

enum {
	VERSION = 1,
	HEADER_SIZE = 16,
	CHECKSUM_SIZE = 8,
	FILE_MAX = HEADER_SIZE + LI_STORE_FAILURE_TEXT + CHECKSUM_SIZE,
	FAILURES_MAX = 1000,
};

/* Against damage, as for facts. */
static uint64_t checksum(const void *bytes, size_t n)
{
	return siphash64(&(struct siphash_key){}, bytes, n);
}

static size_t encode(const struct li_store_failure *failure, uint8_t ret[FILE_MAX])
{
	size_t length = strlen(failure->text), size = HEADER_SIZE + length;
	struct le_writer writer = {ret + 8};

	memcpy(ret, magic, sizeof(magic));
	memcpy(ret + 4, (uint8_t[]){VERSION, 0, 0, 0}, 4);
	le_put32(&writer, failure->code);
	le_put32(&writer, (uint32_t)length);
	le_put(&writer, failure->text, length);
	le_put64(&writer, checksum(ret, size));
	return size + CHECKSUM_SIZE;
}

int store_failure_decode(const void *bytes, size_t n, struct li_store_failure *ret)
{
	struct le_reader reader = {(const uint8_t *)bytes + 8};
	uint32_t code, length;

	if (n < HEADER_SIZE + CHECKSUM_SIZE || n > FILE_MAX || memcmp(bytes, magic, 4) != 0 ||
	    memcmp((const uint8_t *)bytes + 4, (uint8_t[]){VERSION, 0, 0, 0}, 4) != 0)
		return -EINVAL;
	code = le_get32(&reader);
	length = le_get32(&reader);
	if (length != n - HEADER_SIZE - CHECKSUM_SIZE || length >= LI_STORE_FAILURE_TEXT ||
	    memchr(reader.at, '\0', length) ||
	    le_get64(&(struct le_reader){reader.at + length}) != checksum(bytes, n - CHECKSUM_SIZE))
		return -EINVAL;
	ret->code = code;
	memcpy(ret->text, reader.at, length);
	ret->text[length] = '\0';
	return 0;
}

/* A time in the future is that of a clock which was set back: such a failure is forgotten, too. */
static bool is_recent(const struct stat *st)
{
	time_t now = time(NULL);

	return st->st_mtim.tv_sec <= now && now - st->st_mtim.tv_sec < LI_STORE_FAILURE_SECONDS;
}

int store_failed_open(const struct li_store *store, bool make)
{
	return store_directory(store->fd, "failed", make);
}

bool store_failure_is_over(int at, const char *name)
{
	struct stat st;

	return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !is_recent(&st);
}

int li_store_failure_find(const struct li_store *store, const struct li_digest *manifest,
			  struct li_store_failure *ret)
{
	cleanup_close int directory = store_failed_open(store, false), fd = -EBADF;
	char name[SHA256_DIGITS + 1];
	uint8_t bytes[FILE_MAX + 1];
	struct stat st = {};
	ssize_t n;

	li_digest_print(manifest, name);
	fd = directory < 0 ? directory : store_file_open(directory, name, &st);
	if (fd < 0)
		return fd;
	if (!is_recent(&st))
		return -ENOENT;
	n = read(fd, bytes, sizeof(bytes));
	return n < 0 ? -errno : store_failure_decode(bytes, (size_t)n, ret);
}

struct count {
	int directory;
	size_t files;
};

/* Counts the failures that are not over, and removes the others. */
static int count_failure(const char *name, void *context)
{
	struct count *count = context;

	if (store_name_is_digest(name) && store_failure_is_over(count->directory, name))
		unlinkat(count->directory, name, 0);
	else
		count->files++;
	return 0;
}

int li_store_failure_add(const struct li_store *store, const struct li_digest *manifest,
			 const struct li_store_failure *failure)
{
	cleanup_close int directory = store_failed_open(store, true);
	cleanup_with(store_new_done) struct store_new file = STORE_NEW_INIT;
	struct count count = {.directory = directory};
	char name[SHA256_DIGITS + 1];
	uint8_t bytes[FILE_MAX];
	size_t size = encode(failure, bytes);
	int r = directory < 0 ? directory : store_each_name(directory, count_failure, &count);

	if (r == 0 && count.files >= FAILURES_MAX)
		r = -ENOSPC;
	if (r == 0)
		r = store_new_open(store, directory, &file);
	if (r < 0)
		return r;
	if (write(file.fd, bytes, size) != (ssize_t)size)
		return -ENOSPC;
	li_digest_print(manifest, name);
	return new_file_link(file.fd, directory, name, true);
}
