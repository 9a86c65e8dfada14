/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of a layer index. The first byte says what the others are: a whole file, if it is even,
 * or else its payload, which is given its checksum here: no other input would pass that check.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "layerindex/hash/siphash.h"
#include "layerindex/index/facts-file.h"
#include "layerindex/layerindex.h"
#include "tests/fuzz/check.h"

enum { KEY_SIZE = 16 };

static const char magic[8] = "UVFX\2\0\0";

static void require_string(const struct facts *facts, uint32_t at)
{
	require(at < facts->size && memchr(facts->strings + at, '\0', facts->size - at),
		"a string lies, and ends, in the strings");
}

static void require_sound(const struct chain *chain, const struct facts *facts)
{
	require(chain->layers >= 1 && chain->layers <= LI_LAYERS_MAX,
		"there are as many layers as a stack may have");
	require(facts->count <= FACTS_MAX, "there are not too many facts");
	require(facts->size <= FACTS_STRINGS_MAX, "the strings are not too long");
	require_string(facts, chain->top_path);
	for (size_t i = 0; i < facts->count; i++) {
		const struct fact *fact = &facts->items[i];

		require_string(facts, fact->path);
		require(fact->kind <= FACT_LEAF, "a fact is of a kind that there is");
		require(fact->layer < chain->layers, "a fact's layer is one of them");
		require(facts_find(facts, facts_path(facts, fact)), "a fact is found by its path");
	}
}

static void require_same(const struct facts *a, const struct facts *b)
{
	require(a->count == b->count && a->size == b->size &&
			memcmp(a->strings, b->strings, a->size) == 0,
		"as many facts, and the same strings, come back");
	for (size_t i = 0; i < a->count; i++) {
		const struct fact *one = &a->items[i], *other = &b->items[i];

		require(one->kind == other->kind && one->path == other->path &&
				one->layer == other->layer &&
				memcmp(&one->stamp, &other->stamp, sizeof(one->stamp)) == 0,
			"the same facts come back");
	}
}

/* What was read can be written, and is then the same. */
static void check_there_and_back(const struct chain *chain, const struct facts *facts)
{
	cleanup_with(facts_done) struct facts again = {};
	cleanup_free void *file = NULL;
	struct chain chain_again;
	size_t size;

	require(facts_file_encode(chain, facts, &file, &size) == 0, "what was read can be written");
	require(size <= FACTS_FILE_MAX, "what is written may be read");
	require(facts_file_decode(file, size, &chain_again, &again) == 0,
		"what was written can be read");
	require(memcmp(&chain_again, chain, sizeof(*chain)) == 0, "it is about the same layers");
	require_same(&again, facts);
}

static void check_file(const uint8_t *file, size_t size)
{
	cleanup_with(facts_done) struct facts facts = {};
	struct chain chain;
	int r = facts_file_decode(file, size, &chain, &facts);

	require(r == 0 || r == -EINVAL || r == -EPROTO, "it is read, or refused");
	if (r < 0) {
		require(facts.count == 0 && !facts.strings, "nothing is read of what is refused");
		return;
	}
	require_sound(&chain, &facts);
	check_there_and_back(&chain, &facts);
}

static void check_payload(const uint8_t *payload, size_t n)
{
	size_t size = sizeof(magic) + sizeof(uint64_t) + n;
	cleanup_free uint8_t *file = malloc(size);
	uint64_t checksum = 0;

	require(file != NULL, "there is memory for a file");
	if (n >= KEY_SIZE) {
		struct siphash_key key = siphash_key_from(payload);

		checksum = htole64(siphash64(&key, payload + KEY_SIZE, n - KEY_SIZE));
	}
	memcpy(file, magic, sizeof(magic));
	memcpy(file + sizeof(magic), &checksum, sizeof(checksum));
	if (n > 0)
		memcpy(file + size - n, payload, n);
	check_file(file, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] % 2 == 0)
		check_file(data + 1, size - 1);
	else
		check_payload(data + 1, size - 1);
	return 0;
}
