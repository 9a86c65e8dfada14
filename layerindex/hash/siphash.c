/* SPDX-License-Identifier: Apache-2.0 */
/* Two rounds for each word of input, four to finish; the same on every byte order. */
#include "layerindex/hash/siphash.h"

#include <endian.h>
#include <string.h>

enum {
	ROUNDS_WORD = 2,
	ROUNDS_END = 4,
};

struct state {
	uint64_t v[4];
};

static uint64_t rotate(uint64_t word, unsigned bits)
{
	return word << bits | word >> (64 - bits);
}

static void mix(struct state *s, unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		s->v[0] += s->v[1];
		s->v[1] = rotate(s->v[1], 13) ^ s->v[0];
		s->v[0] = rotate(s->v[0], 32);
		s->v[2] += s->v[3];
		s->v[3] = rotate(s->v[3], 16) ^ s->v[2];
		s->v[0] += s->v[3];
		s->v[3] = rotate(s->v[3], 21) ^ s->v[0];
		s->v[2] += s->v[1];
		s->v[1] = rotate(s->v[1], 17) ^ s->v[2];
		s->v[2] = rotate(s->v[2], 32);
	}
}

static void add_word(struct state *s, uint64_t word)
{
	s->v[3] ^= word;
	mix(s, ROUNDS_WORD);
	s->v[0] ^= word;
}

static struct state start(const struct siphash_key *key)
{
	/* "somepseudorandomlygeneratedbytes" */
	return (struct state){{
		key->words[0] ^ 0x736f6d6570736575,
		key->words[1] ^ 0x646f72616e646f6d,
		key->words[0] ^ 0x6c7967656e657261,
		key->words[1] ^ 0x7465646279746573,
	}};
}

/* All words of the input; the last one holds what is left of it, and its length modulo 256. */
static void add_input(struct state *s, const uint8_t *bytes, size_t n)
{
	uint64_t last = (uint64_t)n << 56;
	uint64_t word;

	for (size_t left = n; left >= sizeof(word); left -= sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		add_word(s, le64toh(word));
		bytes += sizeof(word);
	}
	for (size_t i = 0; i < n % sizeof(word); i++)
		last |= (uint64_t)bytes[i] << 8 * i;
	add_word(s, last);
}

static uint64_t finish(struct state *s)
{
	mix(s, ROUNDS_END);
	return s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
}

struct siphash_key siphash_key_from(const uint8_t bytes[static 16])
{
	struct siphash_key key;

	memcpy(key.words, bytes, sizeof(key.words));
	return (struct siphash_key){{le64toh(key.words[0]), le64toh(key.words[1])}};
}

uint64_t siphash64(const struct siphash_key *key, const void *bytes, size_t n)
{
	struct state s = start(key);

	add_input(&s, bytes, n);
	s.v[2] ^= 0xff;
	return finish(&s);
}

void siphash128(const struct siphash_key *key, const void *bytes, size_t n, uint64_t ret[static 2])
{
	struct state s = start(key);

	s.v[1] ^= 0xee;
	add_input(&s, bytes, n);
	s.v[2] ^= 0xee;
	ret[0] = finish(&s);
	s.v[1] ^= 0xdd;
	ret[1] = finish(&s);
}
