/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012), and its variant with
 * 128 bits of output. With a secret key an attacker who chooses the input cannot choose the hash.
 * With a fixed key it is a checksum: it finds damage, and withstands no attacker.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t words[2]; /* each little-endian in the specification's 16 bytes */
};

/* The 16 bytes of the specification as a key. */
struct siphash_key siphash_key_from(const uint8_t bytes[static 16]);

/* Returns: the hash; its bytes in the specification's order are its little-endian ones. */
uint64_t siphash64(const struct siphash_key *key, const void *bytes, size_t n);

/* The variant with 128 bits; the first word is the first eight bytes, little-endian. */
void siphash128(const struct siphash_key *key, const void *bytes, size_t n, uint64_t ret[static 2]);
