/* SPDX-License-Identifier: Apache-2.0 */
/* Common to the engines of SHA-256. An engine is called only if its detection returned true. */
#pragma once

#include <stdbool.h>

#include "layerindex/hash/sha256.h"

/* FIPS 180-4, 4.2.2: fractional parts of the cube roots of the first 64 primes. */
extern const uint32_t sha256_constants[64];

bool sha256_sha_ni_detect(void);
sha256_blocks sha256_sha_ni;

bool sha256_arm_sha2_detect(void);
sha256_blocks sha256_arm_sha2;
