/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "layerindex/array.h"

int strings_take(struct strings *list, char *item)
{
	char **items;

	if (!item)
		return -ENOMEM;
	items = array_grow(list->items, list->count, &list->capacity, sizeof(*items));
	if (!items) {
		free(item);
		return -ENOMEM;
	}
	list->items = items;
	list->items[list->count++] = item;
	return 0;
}

void strings_clear(struct strings *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct strings){};
}

int parse_uint(const char *text, int base, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		unsigned digit = (unsigned char)*text - '0';

		if (digit >= (unsigned)base)
			return -EINVAL;
		if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)digit, &value) || value > max)
			return -EINVAL;
	}
	*ret = value;
	return 0;
}

int parse_bytes(const char *text, uint64_t *ret)
{
	static const char units[] = "KMGT";
	char number[24];
	size_t n = strlen(text);
	const char *unit = n > 0 ? strchr(units, text[n - 1]) : NULL;
	int shift = unit ? 10 * (int)(unit - units + 1) : 0;

	if (n == 0 || n >= sizeof(number))
		return -EINVAL;
	memcpy(number, text, n + 1);
	if (unit)
		number[n - 1] = '\0';
	if (parse_uint(number, 10, UINT64_MAX >> shift, ret) < 0 || *ret == 0)
		return -EINVAL;
	*ret <<= shift;
	return 0;
}

/* Length of the UTF-8 sequence at *s*, of at most *n* bytes, or 0 where there is none. */
static size_t utf8_sequence(const unsigned char *s, size_t n)
{
	size_t length = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] > 0xf4 || length > n)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return length;
}

bool utf8_is_valid(const char *bytes, size_t n)
{
	size_t length;

	for (size_t i = 0; i < n; i += length) {
		length = utf8_sequence((const unsigned char *)bytes + i, n - i);
		if (length == 0)
			return false;
	}
	return true;
}

/* Control characters: C0, DEL, and C1 (U+0080 to U+009F), which terminals obey too. */
static bool is_control(const unsigned char *s)
{
	return s[0] < 0x20 || s[0] == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0);
}

/*
 * Line and paragraph separator (U+2028, U+2029), and what changes the direction of text: U+061C,
 * U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069 (Unicode Standard Annex 9).
 */
static bool is_layout(const unsigned char *s)
{
	if (s[0] == 0xd8)
		return s[1] == 0x9c;
	if (s[0] != 0xe2)
		return false;
	if (s[1] == 0x80)
		return s[2] == 0x8e || s[2] == 0x8f || (s[2] >= 0xa8 && s[2] <= 0xae);
	return s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9;
}

/* *backslash*: it is escaped, too. Returns: as escape_unprintable(). */
static size_t escape(char *out, size_t size, const char *text, bool backslash)
{
	size_t left = strlen(text), done = 0;

	while (left > 0) {
		const unsigned char *s = (const unsigned char *)text;
		size_t length = utf8_sequence(s, left), bytes = length > 0 ? length : 1;
		bool shown =
			length > 0 && !is_control(s) && !is_layout(s) && !(backslash && *s == '\\');

		if (done + (shown ? bytes : 4 * bytes) >= size)
			break;
		if (shown)
			memcpy(out + done, text, bytes);
		for (size_t i = 0; !shown && i < bytes; i++)
			sprintf(out + done + 4 * i, "\\%03o", s[i]);
		done += shown ? bytes : 4 * bytes;
		text += bytes;
		left -= bytes;
	}
	out[done] = '\0';
	return done;
}

size_t escape_unprintable(char *out, size_t size, const char *text)
{
	return escape(out, size, text, false);
}

size_t escape_name(char *out, size_t size, const char *name)
{
	return escape(out, size, name, true);
}

static char *printable(const char *text, bool backslash)
{
	size_t size = 4 * strlen(text) + 1;
	char *shown = malloc(size);

	if (shown)
		escape(shown, size, text, backslash);
	return shown;
}

char *text_printable(const char *text)
{
	return printable(text, false);
}

char *name_printable(const char *name)
{
	return printable(name, true);
}

int text_replace(char **text, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*text);
	*text = copy;
	return 0;
}

char *text_vformat(const char *format, va_list args)
{
	char *text;

	return vasprintf(&text, format, args) < 0 ? NULL : text;
}

size_t text_json(char *out, size_t size, const char *text)
{
	size_t done = 0;

	for (; *text && done + 2 < size; text++) {
		if (*text == '"' || *text == '\\')
			out[done++] = '\\';
		out[done++] = *text;
	}
	out[done] = '\0';
	return done;
}

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* Not of a NUL: it would hide the rest. */
static bool is_escape(const char *text)
{
	return text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && is_octal(text[2]) &&
	       is_octal(text[3]) && strncmp(text + 1, "000", 3) != 0;
}

void text_decode_octal(char *text)
{
	char *out = text;

	while (*text) {
		if (is_escape(text)) {
			*out++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 |
					(text[3] - '0'));
			text += 4;
		} else {
			*out++ = *text++;
		}
	}
	*out = '\0';
}

char *option_escape(const char *value)
{
	char *escaped = malloc(2 * strlen(value) + 1);
	char *out = escaped;

	if (!escaped)
		return NULL;
	for (; *value; value++) {
		if (*value == ',' || *value == '\\')
			*out++ = '\\';
		*out++ = *value;
	}
	*out = '\0';
	return escaped;
}
