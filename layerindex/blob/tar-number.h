/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and times as archives spell them, by the rules of Go's strconv and archive/tar. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* A piece of a text that is not ended by a NUL. */
struct span {
	const char *text;
	size_t length;
};

/* strconv.ParseInt(text, 10, 64): one sign at most, then digits. Returns: 0 or -EBADMSG. */
int tar_parse_int(struct span text, int64_t *ret);

/* A header's field: octal, or base 256 where its first bit is set. Returns: 0 or -EBADMSG. */
int tar_parse_field(const unsigned char *field, size_t size, int64_t *ret);

/* Seconds, and a fraction of which nine digits count. Returns: 0 or -EBADMSG. */
int tar_parse_time(struct span text, struct timespec *ret);
