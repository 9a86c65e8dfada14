/* SPDX-License-Identifier: Apache-2.0 */
/* Rules: readHeader() and block.getFormat() of Go's archive/tar. */
#include "layerindex/blob/tar-header.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "layerindex/blob/tar-number.h"

/* A header block, in the layout that ustar and GNU tar share. */
struct fields {
	unsigned char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type;
	unsigned char link[100], magic[6], version[2], user[32], group[32], major[8], minor[8];
	unsigned char prefix[155], end[12];
};
_Static_assert(sizeof(struct fields) == TAR_BLOCK, "a header is a block");

enum {
	PREFIX_SIZE_STAR = 131, /* two times follow */
	TIME_SIZE = 12,
};

enum format { FORMAT_V7, FORMAT_USTAR, FORMAT_STAR, FORMAT_GNU };

/* The sum of a header's bytes, its own field read as spaces. Some writers added signed bytes. */
static bool has_right_checksum(const struct fields *fields)
{
	const unsigned char *bytes = (const unsigned char *)fields;
	size_t from = offsetof(struct fields, checksum), to = from + sizeof(fields->checksum);
	int64_t plain = 0, with_sign = 0, told;

	if (fields->checksum[0] & 0x80 ||
	    tar_parse_field(fields->checksum, sizeof(fields->checksum), &told) < 0)
		return false;
	for (size_t i = 0; i < sizeof(*fields); i++) {
		unsigned char byte = i >= from && i < to ? ' ' : bytes[i];

		plain += byte;
		with_sign += (signed char)byte;
	}
	return told == plain || told == with_sign;
}

static enum format format_of(const struct fields *fields)
{
	if (memcmp(fields->magic, "ustar\0", sizeof(fields->magic)) == 0)
		return memcmp(fields->end + 8, "tar\0", 4) == 0 ? FORMAT_STAR : FORMAT_USTAR;
	if (memcmp(fields->magic, "ustar ", sizeof(fields->magic)) == 0 &&
	    memcmp(fields->version, " \0", sizeof(fields->version)) == 0)
		return FORMAT_GNU;
	return FORMAT_V7;
}

static bool is_ascii(const unsigned char *text, size_t size)
{
	for (size_t i = 0; i < size && text[i] != '\0'; i++)
		if (text[i] >= 0x80)
			return false;
	return true;
}

/* Writers before Go 1.8 put a prefix where GNU tar has two times: it is one if these are none. */
static size_t gnu_prefix_size(const struct fields *fields)
{
	int64_t ignored;

	for (size_t i = 0; i < 2; i++) {
		const unsigned char *time = fields->prefix + i * TIME_SIZE;

		if (*time != '\0' && tar_parse_field(time, TIME_SIZE, &ignored) < 0)
			return is_ascii(fields->prefix, sizeof(fields->prefix))
				       ? sizeof(fields->prefix)
				       : 0;
	}
	return 0;
}

/* Copies a field that a NUL ends unless it is full. */
static size_t copy_field(char *to, const unsigned char *field, size_t size)
{
	size_t n = strnlen((const char *)field, size);

	memcpy(to, field, n);
	to[n] = '\0';
	return n;
}

static void take_name(const struct fields *fields, size_t prefix_size, struct tar_header *ret)
{
	size_t n = copy_field(ret->name, fields->prefix, prefix_size);

	if (n > 0)
		ret->name[n++] = '/';
	copy_field(ret->name + n, fields->name, sizeof(fields->name));
	copy_field(ret->link, fields->link, sizeof(fields->link));
}

/* The fields that a format has beyond the oldest one's must be numbers, too. */
static int check_format_fields(const struct fields *fields, enum format format)
{
	const unsigned char *times = fields->prefix + PREFIX_SIZE_STAR;
	int64_t ignored;

	if (tar_parse_field(fields->major, sizeof(fields->major), &ignored) < 0 ||
	    tar_parse_field(fields->minor, sizeof(fields->minor), &ignored) < 0)
		return -EBADMSG;
	if (format != FORMAT_STAR)
		return 0;
	if (tar_parse_field(times, TIME_SIZE, &ignored) < 0 ||
	    tar_parse_field(times + TIME_SIZE, TIME_SIZE, &ignored) < 0)
		return -EBADMSG;
	return 0;
}

static size_t prefix_size(const struct fields *fields, enum format format)
{
	switch (format) {
	case FORMAT_USTAR: return sizeof(fields->prefix);
	case FORMAT_STAR: return PREFIX_SIZE_STAR;
	case FORMAT_GNU: return gnu_prefix_size(fields);
	case FORMAT_V7: break;
	}
	return 0;
}

int tar_header_parse(const void *block, struct tar_header *ret)
{
	const struct fields *fields = block;
	enum format format = format_of(fields);

	if (!has_right_checksum(fields))
		return -EBADMSG;
	if (tar_parse_field(fields->size, sizeof(fields->size), &ret->size) < 0 ||
	    tar_parse_field(fields->mode, sizeof(fields->mode), &ret->mode) < 0 ||
	    tar_parse_field(fields->uid, sizeof(fields->uid), &ret->uid) < 0 ||
	    tar_parse_field(fields->gid, sizeof(fields->gid), &ret->gid) < 0 ||
	    tar_parse_field(fields->mtime, sizeof(fields->mtime), &ret->mtime) < 0)
		return -EBADMSG;
	if (format != FORMAT_V7 && check_format_fields(fields, format) < 0)
		return -EBADMSG;
	ret->type = (char)fields->type;
	take_name(fields, prefix_size(fields, format), ret);
	return 0;
}
