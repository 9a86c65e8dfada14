/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/fill/blob-table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse/base/digest.h"
#include "fuse/base/json.h"
#include "fuse/base/text.h"
#include "layerindex/cleanup.h"

#define CHUNKED_DIGEST	 "io.github.containers.zstd-chunked.manifest-checksum"
#define CHUNKED_POSITION "io.github.containers.zstd-chunked.manifest-position"
#define ESTARGZ_DIGEST	 "containerd.io/snapshot/stargz/toc.digest"

enum {
	/* The type of a table that lists the files of an archive. */
	CHUNKED_TYPE = 1,
	POSITION_NUMBERS = 4,
	POSITION_SIZE = 128,
};

/* "OFFSET:LENGTH:PLAIN-LENGTH:TYPE". Returns: 0 or -EINVAL. */
static int parse_position(const char *text, struct blob_table *ret)
{
	uint64_t numbers[POSITION_NUMBERS];
	char copy[POSITION_SIZE], *rest = copy;

	if ((size_t)snprintf(copy, sizeof(copy), "%s", text) >= sizeof(copy))
		return -EINVAL;
	for (int i = 0; i < POSITION_NUMBERS; i++) {
		char *number = strsep(&rest, ":");

		if (!number || parse_uint(number, 10, INT64_MAX, &numbers[i]) < 0)
			return -EINVAL;
	}
	if (rest || numbers[1] > BLOB_TABLE_MAX || numbers[2] > TOC_PLAIN_MAX ||
	    numbers[3] != CHUNKED_TYPE)
		return -EINVAL;
	ret->offset = (int64_t)numbers[0];
	ret->length = (int64_t)numbers[1];
	return 0;
}

struct blob_table blob_table_of(struct json_object *descriptor)
{
	struct json_object *annotations = json_member(descriptor, "annotations", json_type_object);
	const char *position = json_string(annotations, CHUNKED_POSITION);
	const char *chunked = json_string(annotations, CHUNKED_DIGEST);
	const char *estargz = json_string(annotations, ESTARGZ_DIGEST);
	struct blob_table table = {.form = TOC_NONE};

	if (chunked && position && digest_parse(chunked, &table.digest) == 0 &&
	    parse_position(position, &table) == 0)
		table.form = TOC_CHUNKED;
	else if (estargz && digest_parse(estargz, &table.digest) == 0)
		table.form = TOC_ESTARGZ;
	return table;
}

/* A copy in memory, which no process can change any more, whose digest is right. */
static int copy_chunked(const struct blob_table *table, int blob)
{
	cleanup_close int fd = memfd_create("table", MFD_CLOEXEC);
	size_t n = (size_t)table->length;
	cleanup_free char *bytes = malloc(n > 0 ? n : 1);
	struct li_digest found;
	struct sha256 hash;

	if (fd < 0 || !bytes)
		return fd < 0 ? -errno : -ENOMEM;
	if (pread(blob, bytes, n, table->offset) != (ssize_t)n)
		return -EBADMSG;
	sha256_start(&hash);
	sha256_add(&hash, bytes, n);
	sha256_finish(&hash, found.bytes);
	if (!li_digest_equal(&found, &table->digest))
		return -EBADMSG;
	if (pwrite(fd, bytes, n, 0) != (ssize_t)n)
		return -ENOMEM;
	return TAKE_FD(fd);
}

/* Returns: the number that the *n* digits are, or -EBADMSG: one is none, or it is above *max*. */
static int64_t parse_hex(const char *digits, size_t n, int64_t max)
{
	static const char values[] = "0123456789abcdef";
	int64_t number = 0;

	for (size_t i = 0; i < n; i++) {
		const char *value = digits[i] ? strchr(values, digits[i]) : NULL;

		if (!value || number > max >> 4)
			return -EBADMSG;
		number = number << 4 | (value - values);
	}
	return number <= max ? number : -EBADMSG;
}

/* Where the footer of an eStargz says that the table begins. Returns: 0 or -EBADMSG. */
static int find_estargz(int blob, off_t size, int64_t *ret)
{
	/* A gzip member of nothing, whose header has a field "SG" of 22 bytes. */
	static const char head[] = "\x1f\x8b\x08\x04\0\0\0\0\0\xff\x1a\0SG\x16\0";
	static const char tail[] = "STARGZ\x01\0\0\xff\xff\0\0\0\0\0\0\0\0";
	enum { HEAD = sizeof(head) - 1, DIGITS = 16, TAIL = sizeof(tail) - 1 };
	char footer[HEAD + DIGITS + TAIL];
	off_t at = size - (off_t)sizeof(footer);
	int64_t offset;

	if (at <= 0 || pread(blob, footer, sizeof(footer), at) != (ssize_t)sizeof(footer))
		return -EBADMSG;
	if (memcmp(footer, head, HEAD) != 0 || memcmp(footer + HEAD + DIGITS, tail, TAIL) != 0)
		return -EBADMSG;
	offset = parse_hex(footer + HEAD, DIGITS, at);
	if (offset <= 0 || at - offset > BLOB_TABLE_MAX)
		return -EBADMSG;
	*ret = offset;
	return 0;
}

int blob_table_open(const struct blob_table *table, int blob, int *ret, int64_t *ret_size)
{
	cleanup_close int fd = -EBADF;
	struct stat st;
	int64_t at = 0;
	int r;

	if (table->form == TOC_CHUNKED) {
		fd = copy_chunked(table, blob);
		r = fd < 0 ? fd : 0;
		*ret_size = table->length;
	} else {
		r = fstat(blob, &st) < 0 ? -errno : find_estargz(blob, st.st_size, &at);
		fd = r < 0 ? r : fcntl(blob, F_DUPFD_CLOEXEC, 3);
		*ret_size = r < 0 ? 0 : st.st_size - at;
	}
	if (r < 0 || fd < 0)
		return r < 0 ? r : -errno;
	if (lseek(fd, at, SEEK_SET) < 0)
		return -errno;
	*ret = TAKE_FD(fd);
	return 0;
}
