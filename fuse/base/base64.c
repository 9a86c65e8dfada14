/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/base64.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "layerindex/cleanup.h"

static int digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static const char *skip_newlines(const char *text)
{
	while (*text == '\r' || *text == '\n')
		text++;
	return text;
}

int base64_decode(const char *text, char **ret, size_t *ret_size)
{
	cleanup_free char *out = malloc(strlen(text) / 4 * 3 + 4);
	size_t size = 0, digits = 0;
	uint32_t bits = 0;

	if (!out)
		return -ENOMEM;
	for (text = skip_newlines(text); *text && *text != '='; text = skip_newlines(text + 1)) {
		int value = digit_value(*text);

		if (value < 0)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)value;
		if (++digits % 4 == 0) {
			out[size++] = (char)(bits >> 16);
			out[size++] = (char)(bits >> 8);
			out[size++] = (char)bits;
		}
	}
	/* "=" fills the last group up to four: two or three digits are one or two bytes. */
	if (digits % 4 == 1)
		return -EINVAL;
	for (size_t i = digits; i % 4 != 0; i++, text = skip_newlines(text + 1))
		if (*text != '=')
			return -EINVAL;
	if (*text)
		return -EINVAL;
	if (digits % 4 == 2)
		out[size++] = (char)(bits >> 4);
	if (digits % 4 == 3) {
		out[size++] = (char)(bits >> 10);
		out[size++] = (char)(bits >> 2);
	}
	out[size] = '\0';
	*ret = TAKE_PTR(out);
	*ret_size = size;
	return 0;
}
