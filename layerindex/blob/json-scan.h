/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a JSON text once, from its start to its end, in memory that does not grow with it.
 *
 * All return 0 or more; -EBADMSG: the text is no JSON, ends too early, or has another value there
 * than was asked for; -E2BIG: it exceeds a limit from below; or what its source returned.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "layerindex/blob/tar.h"

enum {
	JSON_SCAN_BUFFER = 64 << 10,
	JSON_SCAN_DEPTH_MAX = 32, /* of values within values that are skipped */
};

struct json_scan {
	tar_source source;
	void *from;
	int64_t left; /* so many bytes may come yet */
	size_t at, size;
	unsigned char bytes[JSON_SCAN_BUFFER];
};

/* Begins with a text of at most *max* bytes. */
void json_scan_start(struct json_scan *scan, tar_source source, void *from, int64_t max);

/* Reads the character *c*, behind white space. */
int json_scan_expect(struct json_scan *scan, char c);

/* Begins an array or object, with *open* ('[' or '{'). Returns: 1: it has an item; 0: it has none,
 * and was read. */
int json_scan_begin(struct json_scan *scan, char open);

/* Goes behind an item of the array or object that *close* ends. Returns: 1: to the next; 0: that
 * was the last one. */
int json_scan_more(struct json_scan *scan, char close);

/*
 * Reads a string into *ret*, which ends with a NUL. What cannot be told from a character that
 * stands for a lost one (U+FFFD), or is a NUL, is -EBADMSG.
 */
int json_scan_string(struct json_scan *scan, char *ret, size_t size);

/* Reads a whole number. */
int json_scan_integer(struct json_scan *scan, int64_t *ret);

/* Reads any value. */
int json_scan_skip(struct json_scan *scan);

/* The text must have ended, but for white space. */
int json_scan_end(struct json_scan *scan);
