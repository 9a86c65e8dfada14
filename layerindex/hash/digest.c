/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/hash/digest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "layerindex/cleanup.h"

enum { BUFFER_SIZE = 256 << 10 };

static const char digits[] = "0123456789abcdef";

/* Returns: the value of a digit, or < 0. */
static int value_of(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

int li_digest_parse(const char *hex, struct li_digest *ret)
{
	struct li_digest digest = {};

	if (strlen(hex) != SHA256_DIGITS)
		return -EINVAL;
	for (size_t i = 0; i < SHA256_DIGITS; i++) {
		int digit = value_of(hex[i]);

		if (digit < 0)
			return -EINVAL;
		digest.bytes[i / 2] = (uint8_t)(digest.bytes[i / 2] << 4 | digit);
	}
	*ret = digest;
	return 0;
}

void li_digest_print(const struct li_digest *digest, char ret[static SHA256_DIGITS + 1])
{
	for (size_t i = 0; i < SHA256_BYTES; i++) {
		ret[2 * i] = digits[digest->bytes[i] >> 4];
		ret[2 * i + 1] = digits[digest->bytes[i] & 15];
	}
	ret[SHA256_DIGITS] = '\0';
}

bool li_digest_equal(const struct li_digest *a, const struct li_digest *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

int li_digest_file(int fd, uint64_t size, struct li_digest *ret)
{
	cleanup_free char *buffer = malloc(BUFFER_SIZE);
	struct sha256 hash;
	uint64_t at = 0;

	if (!buffer)
		return -ENOMEM;
	sha256_start(&hash);
	/* One read more than it takes: a file that grows has another digest. */
	while (at <= size) {
		ssize_t n = pread(fd, buffer, BUFFER_SIZE, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		sha256_add(&hash, buffer, (size_t)n);
		at += (uint64_t)n;
	}
	if (at != size)
		return -ESTALE;
	sha256_finish(&hash, ret->bytes);
	return 0;
}
