/* SPDX-License-Identifier: Apache-2.0 */
/* How hostile text is shown and read back, against plain second versions of the same. */
#include <string.h>

#include "fuse/base/text.h"
#include "tests/fuzz/check.h"

/* Decodes the number at *s* by arithmetic. Returns: the bytes it takes, or 0: not UTF-8. */
static size_t decode_utf8(const unsigned char *s, size_t n, unsigned *ret)
{
	static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = s[0] < 0x80		? 1
			: (s[0] & 0xe0) == 0xc0 ? 2
			: (s[0] & 0xf0) == 0xe0 ? 3
			: (s[0] & 0xf8) == 0xf0 ? 4
						: 0;

	if (length == 0 || length > n)
		return 0;
	*ret = length == 1 ? s[0] : s[0] & (0x7fU >> length);
	for (size_t i = 1; i < length; i++) {
		if (s[i] >> 6 != 2)
			return 0;
		*ret = *ret << 6 | (s[i] & 0x3f);
	}
	if (*ret < least[length] || *ret > 0x10ffff || (*ret >= 0xd800 && *ret < 0xe000))
		return 0;
	return length;
}

/* Controls, separators, and what changes the direction of text. */
static bool is_unprintable(unsigned c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e || c == 0x200f ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

static bool is_utf8(const char *text, size_t n, bool allow_controls)
{
	for (size_t i = 0; i < n;) {
		unsigned c = 0;
		size_t length = decode_utf8((const unsigned char *)text + i, n - i, &c);

		if (length == 0 || (!allow_controls && is_unprintable(c)))
			return false;
		i += length;
	}
	return true;
}

static void check_printable(const char *text)
{
	cleanup_free char *shown = name_printable(text);
	cleanup_free char *again = NULL;

	require(shown, "there is memory for what is shown");
	require(is_utf8(shown, strlen(shown), false), "what is shown is UTF-8 without controls");
	require(!is_utf8(text, strlen(text), false) || strchr(text, '\\') ||
			strcmp(shown, text) == 0,
		"what can be shown is shown as it is");
	again = text_printable(shown);
	require(again && strcmp(again, shown) == 0, "what is shown can be shown");
	text_decode_octal(shown);
	require(strcmp(shown, text) == 0, "what is shown can be read back");
}

/* The slow way, from one string into another. */
static void decode_slowly(char *text)
{
	char *end = text + strlen(text);
	cleanup_free char *whole = strdup(text);
	char *out = text;

	require(whole, "there is memory for a copy");
	for (const char *p = whole; p < whole + (end - text);) {
		bool escape = p[0] == '\\' && strspn(p + 1, "01234567") >= 3 && p[1] < '4' &&
			      strncmp(p + 1, "000", 3) != 0;
		char octal[4] = "";

		if (escape)
			memcpy(octal, p + 1, 3);
		*out++ = *p;
		if (escape)
			out[-1] = (char)strtoul(octal, NULL, 8);
		p += escape ? 4 : 1;
	}
	*out = '\0';
}

static void check_octal(char *text)
{
	cleanup_free char *expected = strdup(text);

	require(expected, "there is memory for a copy");
	decode_slowly(expected);
	text_decode_octal(text);
	require(strcmp(text, expected) == 0, "octal escapes are decoded alike");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = input_string(data, size);

	require(utf8_is_valid(text, size) == is_utf8(text, size, true),
		"both say the same of what is UTF-8");
	check_printable(text);
	check_octal(text);
	return 0;
}
