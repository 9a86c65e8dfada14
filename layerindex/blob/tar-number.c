/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/blob/tar-number.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

enum { NANOSECOND_DIGITS = 9 };

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int tar_parse_int(struct span text, int64_t *ret)
{
	bool negative = text.length > 0 && *text.text == '-';
	size_t i = negative || (text.length > 0 && *text.text == '+') ? 1 : 0;
	int64_t value = 0;

	if (i == text.length)
		return -EBADMSG;
	for (; i < text.length; i++) {
		int64_t digit = text.text[i] - '0';

		/* Downwards: the smallest number has no positive counterpart. */
		if (!is_digit(text.text[i]) || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_sub_overflow(value, digit, &value))
			return -EBADMSG;
	}
	if (!negative && value == INT64_MIN)
		return -EBADMSG;
	*ret = negative ? value : -value;
	return 0;
}

/* Two's complement in big-endian order, without the first bit, which only says that it is this. */
static int parse_base_256(const unsigned char *field, size_t size, int64_t *ret)
{
	unsigned char invert = field[0] & 0x40 ? 0xff : 0;
	uint64_t value = 0;

	for (size_t i = 0; i < size; i++) {
		unsigned char byte = field[i] ^ invert;

		if (i == 0)
			byte &= 0x7f;
		if (value >> 56)
			return -EBADMSG;
		value = value << 8 | byte;
	}
	if (value >> 63)
		return -EBADMSG;
	*ret = invert ? -(int64_t)value - 1 : (int64_t)value;
	return 0;
}

static bool is_filler(unsigned char c)
{
	return c == ' ' || c == '\0';
}

int tar_parse_field(const unsigned char *field, size_t size, int64_t *ret)
{
	uint64_t value = 0;

	if (field[0] & 0x80)
		return parse_base_256(field, size, ret);
	while (size > 0 && is_filler(*field)) {
		field++;
		size--;
	}
	while (size > 0 && is_filler(field[size - 1]))
		size--;
	for (size_t i = 0; i < size && field[i] != '\0'; i++) {
		if (field[i] < '0' || field[i] > '7' || value >> 61)
			return -EBADMSG;
		value = value << 3 | (uint64_t)(field[i] - '0');
	}
	*ret = (int64_t)value;
	return 0;
}

int tar_parse_time(struct span text, struct timespec *ret)
{
	const char *dot = memchr(text.text, '.', text.length);
	struct span whole = {text.text, dot ? (size_t)(dot - text.text) : text.length};
	size_t digits = dot ? text.length - whole.length - 1 : 0;
	int64_t seconds, nanoseconds = 0;

	if (tar_parse_int(whole, &seconds) < 0)
		return -EBADMSG;
	for (size_t i = 0; i < digits; i++)
		if (!is_digit(dot[1 + i]))
			return -EBADMSG;
	for (size_t i = 0; digits > 0 && i < NANOSECOND_DIGITS; i++)
		nanoseconds = nanoseconds * 10 + (i < digits ? dot[1 + i] - '0' : 0);
	/* A negative number's fraction is negative, too. */
	if (nanoseconds > 0 && *text.text == '-') {
		if (__builtin_sub_overflow(seconds, 1, &seconds))
			return -EBADMSG;
		nanoseconds = 1000000000 - nanoseconds;
	}
	*ret = (struct timespec){.tv_sec = seconds, .tv_nsec = (long)nanoseconds};
	return 0;
}
