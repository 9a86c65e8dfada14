/* SPDX-License-Identifier: Apache-2.0 */
/* A digest as the OCI specifications write it: "sha256:" and 64 hexadecimal digits. */
#pragma once

#include <stdbool.h>

#include "layerindex/hash/digest.h"

#define DIGEST_PREFIX "sha256:"

enum { DIGEST_TEXT_SIZE = sizeof(DIGEST_PREFIX) + SHA256_DIGITS }; /* with its NUL */

/* Returns: 0, or -EINVAL: *text* is no such digest; upper-case digits are none. */
int digest_parse(const char *text, struct li_digest *ret);

/* A digest that a caller may give. */
struct digest_wish {
	bool given;
	struct li_digest digest;
};

void digest_print(const struct li_digest *digest, char ret[static DIGEST_TEXT_SIZE]);
