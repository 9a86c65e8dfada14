/* SPDX-License-Identifier: Apache-2.0 */
/* The hash over its input, and the engine that every processor has. */
#include "layerindex/hash/sha256.h"

#include <endian.h>
#include <string.h>

#include "layerindex/hash/sha256-blocks.h"

const uint32_t sha256_constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

static uint32_t rotate(uint32_t word, unsigned bits)
{
	return word >> bits | word << (32 - bits);
}

/* FIPS 180-4, 6.2.2, step 1: the schedule of a block, 64 words. */
static void schedule(const uint8_t *block, uint32_t w[static 64])
{
	for (size_t i = 0; i < 16; i++) {
		memcpy(&w[i], block + i * sizeof(*w), sizeof(*w));
		w[i] = be32toh(w[i]);
	}
	for (size_t i = 16; i < 64; i++) {
		uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
		uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;

		w[i] = w[i - 16] + s0 + w[i - 7] + s1;
	}
}

/*
 * A round, which reads the eight words of the state by their names at that round: instead of moving
 * the words, the next round has each of them under the name of the one before.
 */
#define ROUND(A, B, C, D, E, F, G, H, I)                                                \
	do {                                                                            \
		uint32_t s1_ = rotate(E, 6) ^ rotate(E, 11) ^ rotate(E, 25);            \
		uint32_t s0_ = rotate(A, 2) ^ rotate(A, 13) ^ rotate(A, 22);            \
                                                                                        \
		(H) += s1_ + (((E) & (F)) ^ (~(E) & (G))) + sha256_constants[I] + w[I]; \
		(D) += (H);                                                             \
		(H) += s0_ + (((A) & (B)) ^ ((A) & (C)) ^ ((B) & (C)));                 \
	} while (0)

static void add_block(uint32_t state[static 8], const uint8_t *block)
{
	uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
	uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
	uint32_t w[64];

	schedule(block, w);
	for (size_t i = 0; i < 64; i += 8) {
		ROUND(a, b, c, d, e, f, g, h, i);
		ROUND(h, a, b, c, d, e, f, g, i + 1);
		ROUND(g, h, a, b, c, d, e, f, i + 2);
		ROUND(f, g, h, a, b, c, d, e, i + 3);
		ROUND(e, f, g, h, a, b, c, d, i + 4);
		ROUND(d, e, f, g, h, a, b, c, i + 5);
		ROUND(c, d, e, f, g, h, a, b, i + 6);
		ROUND(b, c, d, e, f, g, h, a, i + 7);
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
	state[4] += e;
	state[5] += f;
	state[6] += g;
	state[7] += h;
}

static void portable(uint32_t state[static 8], const uint8_t *blocks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		add_block(state, blocks + i * SHA256_BLOCK);
}

bool sha256_has(enum sha256_engine engine)
{
	switch (engine) {
	case SHA256_PORTABLE: return true;
#ifdef __x86_64__
	case SHA256_SHA_NI: return sha256_sha_ni_detect();
#endif
#ifdef __aarch64__
	case SHA256_ARM_SHA2: return sha256_arm_sha2_detect();
#endif
	default: return false;
	}
}

static sha256_blocks *blocks_of(enum sha256_engine engine)
{
	switch (engine) {
#ifdef __x86_64__
	case SHA256_SHA_NI: return sha256_sha_ni;
#endif
#ifdef __aarch64__
	case SHA256_ARM_SHA2: return sha256_arm_sha2;
#endif
	default: return portable;
	}
}

static enum sha256_engine fastest(void)
{
	if (sha256_has(SHA256_SHA_NI))
		return SHA256_SHA_NI;
	return sha256_has(SHA256_ARM_SHA2) ? SHA256_ARM_SHA2 : SHA256_PORTABLE;
}

void sha256_start_by(struct sha256 *hash, enum sha256_engine engine)
{
	/* FIPS 180-4, 5.3.3. */
	*hash = (struct sha256){
		.add_blocks = blocks_of(engine),
		.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
			  0x1f83d9ab, 0x5be0cd19},
	};
}

void sha256_start(struct sha256 *hash)
{
	/* A process asks its processor once; two threads would find the same. */
	static enum sha256_engine engine;
	static bool is_known;

	if (!is_known) {
		engine = fastest();
		is_known = true;
	}
	sha256_start_by(hash, engine);
}

void sha256_add(struct sha256 *hash, const void *bytes, size_t n)
{
	const uint8_t *input = bytes;
	size_t begun = hash->size % SHA256_BLOCK;

	if (n == 0)
		return;
	hash->size += n;
	if (begun > 0) {
		size_t part = SHA256_BLOCK - begun < n ? SHA256_BLOCK - begun : n;

		memcpy(hash->begun + begun, input, part);
		if (begun + part < SHA256_BLOCK)
			return;
		hash->add_blocks(hash->state, hash->begun, 1);
		input += part;
		n -= part;
	}
	if (n >= SHA256_BLOCK)
		hash->add_blocks(hash->state, input, n / SHA256_BLOCK);
	memcpy(hash->begun, input + n - n % SHA256_BLOCK, n % SHA256_BLOCK);
}

void sha256_finish(struct sha256 *hash, uint8_t ret[static SHA256_BYTES])
{
	uint64_t bits = htobe64(hash->size * 8);
	static const uint8_t padding[SHA256_BLOCK] = {0x80};
	size_t begun = hash->size % SHA256_BLOCK;
	size_t room = SHA256_BLOCK - sizeof(bits);

	/* A one, then zeros, up to where the length ends a block. */
	sha256_add(hash, padding, begun < room ? room - begun : SHA256_BLOCK + room - begun);
	sha256_add(hash, &bits, sizeof(bits));
	for (size_t i = 0; i < 8; i++) {
		uint32_t word = htobe32(hash->state[i]);

		memcpy(ret + i * sizeof(word), &word, sizeof(word));
	}
}
