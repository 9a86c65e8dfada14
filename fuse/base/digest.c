/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/digest.h"

#include <errno.h>
#include <string.h>

int digest_parse(const char *text, struct li_digest *ret)
{
	size_t n = strlen(DIGEST_PREFIX);

	return strncmp(text, DIGEST_PREFIX, n) == 0 ? li_digest_parse(text + n, ret) : -EINVAL;
}

void digest_print(const struct li_digest *digest, char ret[static DIGEST_TEXT_SIZE])
{
	memcpy(ret, DIGEST_PREFIX, sizeof(DIGEST_PREFIX));
	li_digest_print(digest, ret + strlen(DIGEST_PREFIX));
}
