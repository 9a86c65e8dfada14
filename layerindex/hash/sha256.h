/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 (FIPS 180-4), a part of the input at a time. The processor's instructions are used where
 * it has them: SHA-NI on x86-64, the SHA2 extension on arm64. The processor is asked when the first
 * hash is started, not before: on a virtual machine each CPUID instruction traps to the hypervisor.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SHA256_BYTES = 32,
	SHA256_BLOCK = 64,
	SHA256_DIGITS = 2 * SHA256_BYTES, /* of a digest in hexadecimal */
};

/* The engine that computes the hash. */
enum sha256_engine {
	SHA256_PORTABLE,
	SHA256_SHA_NI,	 /* x86-64 */
	SHA256_ARM_SHA2, /* arm64 */
};

enum { SHA256_ENGINES = SHA256_ARM_SHA2 + 1 };

/* Whether this machine supports the engine. */
bool sha256_has(enum sha256_engine engine);

/* Adds *n* blocks to *state*. */
typedef void sha256_blocks(uint32_t state[static 8], const uint8_t *blocks, size_t n);

/* A hash in the making: plain data, which may be copied and dropped. */
struct sha256 {
	sha256_blocks *add_blocks;
	uint32_t state[8];
	uint64_t size;		     /* bytes so far */
	uint8_t begun[SHA256_BLOCK]; /* its last size % SHA256_BLOCK bytes */
};

/* Starts a hash with the fastest engine of this machine. */
void sha256_start(struct sha256 *hash);

/* Starts a hash with an engine that sha256_has(): for tests and measurements. */
void sha256_start_by(struct sha256 *hash, enum sha256_engine engine);

void sha256_add(struct sha256 *hash, const void *bytes, size_t n);

/* Writes the digest of all that was added; *hash* must be started again before it is used. */
void sha256_finish(struct sha256 *hash, uint8_t ret[static SHA256_BYTES]);
