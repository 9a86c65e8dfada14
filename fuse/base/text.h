/* SPDX-License-Identifier: Apache-2.0 */
/* Small things about strings: lists of them, numbers in them, and how hostile ones are shown. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layerindex/cleanup.h"

/* A list of owned strings. */
struct strings {
	char **items;
	size_t count, capacity;
};

/* Appends *item* and takes ownership of it, on failure too. Returns: 0 or -ENOMEM. */
int strings_take(struct strings *list, char *item);

/* Removes and frees all items; the list can be used again. */
void strings_clear(struct strings *list);
DEFINE_CLEANUP(struct strings, strings_clear)

/*
 * Parses all of *text* as a number without sign in *base*, 8 or 10, from 0 to *max*.
 * Returns: 0, or -EINVAL.
 */
int parse_uint(const char *text, int base, uint64_t max, uint64_t *ret);

/*
 * Parses a number of bytes above 0, which K, M, G or T may follow: powers of 1024.
 * Returns: 0, or -EINVAL.
 */
int parse_bytes(const char *text, uint64_t *ret);

/* Whether *n* bytes are UTF-8 (RFC 3629: no surrogates, nothing overlong). */
bool utf8_is_valid(const char *bytes, size_t n);

/*
 * Writes *text* into *out*, of *size* bytes, as it can be shown to a person on a terminal and put
 * into JSON: control characters, separators of lines and paragraphs, marks that change the
 * direction of text, and bytes that are not UTF-8 become \ooo, as in mountinfo. What does not fit
 * is cut off, between characters. A text that was escaped before stays as it is.
 * Returns: the length written, without the NUL.
 */
size_t escape_unprintable(char *out, size_t size, const char *text);

/*
 * The same for a name, where a backslash becomes \134: two names are never shown alike, and
 * text_decode_octal() gives the name back.
 */
size_t escape_name(char *out, size_t size, const char *name);

/* Both as an owned string, or NULL when there is no memory. */
char *text_printable(const char *text);
char *name_printable(const char *name);

/* Replaces the owned string *text*, or NULL, by a copy of *value*. Returns: 0 or -ENOMEM. */
int text_replace(char **text, const char *value);

/* vasprintf(3) as an owned string, or NULL when there is no memory. */
char *text_vformat(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

/* Writes printable text as the inside of a JSON string: quotes and backslashes are escaped. */
size_t text_json(char *out, size_t size, const char *text);

/* Replaces the octal escapes \ooo of mountinfo in *text*, but for \000, in place. */
void text_decode_octal(char *text);

/*
 * A value as it stands in a list of mount options: a comma ends an option, and a backslash takes
 * what follows as it is. Returns: owned, or NULL without memory.
 */
char *option_escape(const char *value);
