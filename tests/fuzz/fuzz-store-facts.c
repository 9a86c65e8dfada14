/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A facts file of the artifact store. The first byte says what the others are: a whole file, if it
 * is even, or else one without its checksum, which would keep what is made up from ever getting in.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "layerindex/hash/siphash.h"
#include "layerindex/layerindex.h"
#include "layerindex/store/store-dir.h"
#include "tests/fuzz/check.h"

static void require_sound(const struct li_store_facts *facts)
{
	require(facts->count <= LI_STORE_PATHS_MAX, "there are not too many answers");
	require(facts->layers <= LI_LAYERS_MAX && facts->diff_ids <= LI_LAYERS_MAX,
		"there are as many layers as a stack may have");
	require(facts->source != LI_STORE_TOC || facts->key.by == LI_STORE_MANIFEST,
		"no table of contents speaks for a chain");
	for (size_t i = 0; i < facts->count; i++) {
		const struct li_store_answer *answer = &facts->answers[i];

		require(strlen(answer->path) <= LI_PATH_MAX && answer->path[0] == '/',
			"a path is absolute and not too long");
		require(!strstr(answer->path, "//") && !strstr(answer->path, "/../"),
			"a path is no walk");
		require(answer->kind <= LI_STORE_OTHER, "an answer is of a kind that there is");
		require(answer->mode <= 07777, "a mode is permissions");
		require(answer->size <= INT64_MAX, "a size is one");
		require(li_store_facts_find(facts, answer->path) == answer,
			"an answer is found by its path");
	}
}

static void check_file(const uint8_t *bytes, size_t size)
{
	cleanup_with(li_store_facts_done) struct li_store_facts facts = {};
	cleanup_free void *file = NULL;
	size_t n;
	int r = store_facts_decode(bytes, size, &facts);

	require(r == 0 || r == -EINVAL || r == -EPROTO, "it is read, or refused");
	if (r < 0) {
		require(facts.count == 0 && !facts.strings, "nothing is read of what is refused");
		return;
	}
	require_sound(&facts);
	require(store_facts_encode(&facts, &file, &n) == 0, "what was read can be written");
	require(n == size && memcmp(file, bytes, n) == 0, "the same file comes back");
}

static void check_signed(const uint8_t *bytes, size_t size)
{
	cleanup_free uint8_t *file = malloc(size + sizeof(uint64_t));
	uint64_t sum = htole64(siphash64(&(struct siphash_key){}, bytes, size));

	require(file != NULL, "there is memory for a file");
	memcpy(file, bytes, size);
	memcpy(file + size, &sum, sizeof(sum));
	check_file(file, size + sizeof(sum));
}

static void check_failure(const uint8_t *bytes, size_t size)
{
	struct li_store_failure failure = {};
	int r = store_failure_decode(bytes, size, &failure);

	require(r == 0 || r == -EINVAL, "it is read, or refused");
	require(strlen(failure.text) < sizeof(failure.text), "a text ends");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	check_failure(data + 1, size - 1);
	if (data[0] % 2 == 0)
		check_file(data + 1, size - 1);
	else
		check_signed(data + 1, size - 1);
	return 0;
}
