/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/hash/digest.h"

#include <errno.h>
#include <string.h>

static const char digits[] = "0123456789abcdef";

int li_digest_parse(const char *hex, struct li_digest *ret)
{
	struct li_digest digest = {};

	if (strlen(hex) != SHA256_DIGITS)
		return -EINVAL;
	for (size_t i = 0; i < SHA256_DIGITS; i++) {
		const char *digit = strchr(digits, hex[i]);

		if (!digit)
			return -EINVAL;
		digest.bytes[i / 2] = (uint8_t)(digest.bytes[i / 2] << 4 | (digit - digits));
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
