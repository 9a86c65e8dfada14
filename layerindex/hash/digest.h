/* SPDX-License-Identifier: Apache-2.0 */
/* A SHA-256 digest as a value, and as text: 64 hexadecimal digits in lower case. */
#pragma once

#include <stdbool.h>

#include "layerindex/hash/sha256.h"

struct li_digest {
	uint8_t bytes[SHA256_BYTES];
};

/* Returns: 0, or -EINVAL: *hex* is not exactly 64 hexadecimal digits in lower case. */
int li_digest_parse(const char *hex, struct li_digest *ret);

void li_digest_print(const struct li_digest *digest, char ret[static SHA256_DIGITS + 1]);

bool li_digest_equal(const struct li_digest *a, const struct li_digest *b);

/*
 * Hashes a file that has *size* bytes.
 * Returns: 0; -ESTALE: it has more or fewer; -ENOMEM; or what reading it failed with.
 */
int li_digest_file(int fd, uint64_t size, struct li_digest *ret);
