/* SPDX-License-Identifier: Apache-2.0 */
/* base64 against a second decoder, and there and back again. */
#include <string.h>

#include "fuse/base/base64.h"
#include "layerindex/cleanup.h"
#include "tests/fuzz/check.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* RFC 4648 by groups of four, without line breaks. Returns: the number of bytes, or -1. */
static ssize_t decode_slowly(const char *text, char *out)
{
	size_t n = strlen(text);
	size_t padding = 0;
	ssize_t size = 0;

	if (n % 4 != 0)
		return -1;
	while (padding < 2 && padding < n && text[n - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < n; i += 4) {
		unsigned group = 0;

		for (size_t k = i; k < i + 4; k++) {
			const char *digit = strchr(digits, text[k]);

			if (!digit && k < n - padding)
				return -1;
			group = group * 64 + (digit ? (unsigned)(digit - digits) : 0);
		}
		for (int shift = 16; shift >= 0; shift -= 8)
			out[size++] = (char)(group >> shift);
	}
	return size - (ssize_t)padding;
}

static void encode(const uint8_t *data, size_t size, char *out)
{
	for (size_t i = 0; i < size; i += 3) {
		size_t n = size - i < 3 ? size - i : 3;
		unsigned group = 0;

		for (size_t k = 0; k < 3; k++)
			group = group << 8 | (k < n ? data[i + k] : 0);
		for (size_t k = 0; k < 4; k++) {
			char digit = digits[group >> (18 - 6 * k) & 63];

			*out++ = (char)(k <= n ? digit : '=');
		}
	}
	*out = '\0';
}

static void compare_decoders(const uint8_t *data, size_t size)
{
	cleanup_free char *text = input_string(data, size);
	cleanup_free char *plain = input_string(data, size);
	cleanup_free char *expected = malloc(size + 4);
	cleanup_free char *got = NULL;
	size_t got_size = 0;
	ssize_t n;
	char *out = plain;
	int r;

	require(expected != NULL, "there is memory for what is expected");
	for (const char *p = text; *p; p++)
		if (*p != '\r' && *p != '\n')
			*out++ = *p;
	*out = '\0';
	n = decode_slowly(plain, expected);
	r = base64_decode(text, &got, &got_size);
	require((r < 0) == (n < 0), "both decoders take it or both refuse it");
	require(r < 0 || (got_size == (size_t)n && memcmp(got, expected, got_size) == 0),
		"both decoders get the same");
	require(r < 0 || got[got_size] == '\0', "what is decoded ends with a NUL");
}

static void there_and_back(const uint8_t *data, size_t size)
{
	cleanup_free char *text = malloc(size / 3 * 4 + 5);
	cleanup_free char *got = NULL;
	size_t got_size = 0;

	require(text != NULL, "there is memory for the text");
	encode(data, size, text);
	require(base64_decode(text, &got, &got_size) == 0, "what was encoded is decoded");
	require(got_size == size && (size == 0 || memcmp(got, data, size) == 0),
		"what was encoded comes back");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	compare_decoders(data, size);
	there_and_back(data, size);
	return 0;
}
