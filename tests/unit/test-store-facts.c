/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/store/store-facts.h"

#include <endian.h>

#include "layerindex/hash/siphash.h"
#include "layerindex/layerindex.h"
#include "tests/unit/fixture.h"

/* Where things stand: urunc-viewfs-store(5). */
enum {
	HEADER = 88,
	RECORD = 100,
	CHECKSUM = 8,
	AT_VERSION = 4,
	AT_BY = 6,
	AT_SOURCE = 7,
	AT_CHAIN = 40,
	AT_LAYERS = 72,
	AT_DIFF_IDS = 76,
	AT_COUNT = 80,
	AT_STRINGS = 84,
};

#define ORIGIN "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/boot/k"

static const struct li_store_facts sample = {
	.key = {LI_STORE_CHAIN, {{1, 2, 3}}},
	.chain = {{1, 2, 3}},
	.source = LI_STORE_TREE,
	.layers = 7,
	.diff_ids = 7,
	.count = 3,
	.answers =
		{
			{
				.path = "/unikernel/kernel",
				.kind = LI_STORE_ARTIFACT,
				.mode = 04755,
				.uid = 65536,
				.gid = 12,
				.modified = {-5, 999999999},
				.size = (uint64_t)1 << 40,
				.digest = {{0xff, 0xfe}},
				.object = {.inode = (uint64_t)1 << 63, .modified = {17, 18}},
				.origin = ORIGIN,
			},
			{.path = "/initrd", .kind = LI_STORE_ABSENT},
			{.path = "/urunc.json", .kind = LI_STORE_OTHER, .reason = EISDIR},
		},
};

static uint8_t *encode(const struct li_store_facts *facts, size_t *size)
{
	void *file = NULL;

	assert_int_equal(store_facts_encode(facts, &file, size), 0);
	return file;
}

static int decode(const void *file, size_t n)
{
	cleanup_with(li_store_facts_done) struct li_store_facts facts = {};
	int r = store_facts_decode(file, n, &facts);

	if (r < 0 && (facts.count > 0 || facts.strings))
		fail_msg("something was read of what is refused");
	return r;
}

/* The checksum that the file would have if it were meant so. */
static void sign(uint8_t *file, size_t n)
{
	uint64_t sum = htole64(siphash64(&(struct siphash_key){}, file, n - CHECKSUM));

	memcpy(file + n - CHECKSUM, &sum, sizeof(sum));
}

static void test_what_was_encoded_is_decoded(void **state)
{
	cleanup_with(li_store_facts_done) struct li_store_facts facts = {};
	cleanup_free uint8_t *file = NULL, *again = NULL;
	size_t n, n_again;

	(void)state;
	file = encode(&sample, &n);
	assert_int_equal(n, HEADER + 3 * RECORD + 18 + 79 + 8 + 1 + 12 + 1 + CHECKSUM);
	assert_int_equal(store_facts_decode(file, n, &facts), 0);
	assert_int_equal(facts.count, sample.count);
	assert_int_equal(facts.layers, 7);
	assert_memory_equal(&facts.key, &sample.key, sizeof(sample.key));
	assert_memory_equal(&facts.chain, &sample.chain, sizeof(sample.chain));
	for (size_t i = 0; i < facts.count; i++) {
		const struct li_store_answer *got = &facts.answers[i], *want = &sample.answers[i];

		assert_string_equal(got->path, want->path);
		assert_string_equal(got->origin, want->origin ? want->origin : "");
		assert_int_equal(got->kind, want->kind);
		assert_int_equal(got->reason, want->reason);
		assert_int_equal(got->mode, want->mode);
		assert_int_equal(got->uid, want->uid);
		assert_int_equal(got->gid, want->gid);
		assert_int_equal(got->size, want->size);
		assert_int_equal(got->modified.tv_sec, want->modified.tv_sec);
		assert_int_equal(got->modified.tv_nsec, want->modified.tv_nsec);
		assert_int_equal(got->object.inode, want->object.inode);
		assert_int_equal(got->object.modified.tv_sec, want->object.modified.tv_sec);
		assert_int_equal(got->object.modified.tv_nsec, want->object.modified.tv_nsec);
		assert_true(li_digest_equal(&got->digest, &want->digest));
		assert_ptr_equal(li_store_facts_find(&facts, want->path), got);
	}
	assert_null(li_store_facts_find(&facts, "/unikernel"));
	again = encode(&facts, &n_again);
	assert_int_equal(n_again, n);
	assert_memory_equal(again, file, n);
}

/* Byte for byte: what one program wrote another one must read. */
static void test_the_layout_is_fixed(void **state)
{
	cleanup_free uint8_t *file = NULL;
	size_t n;

	(void)state;
	file = encode(&sample, &n);
	assert_memory_equal(file, "UVST\2\0\0\0\1\2\3\0", 12);
	assert_memory_equal(file + AT_CHAIN, "\1\2\3\0", 4);
	assert_memory_equal(file + AT_LAYERS, "\7\0\0\0\7\0\0\0\3\0\0\0\167\0\0\0", 16);
	assert_memory_equal(file + HEADER, "\1\0\0\0\21\0\0\0\355\11\0\0\0\0\1\0\14\0\0\0\0\0\0\0",
			    24);
	assert_memory_equal(file + HEADER + 24, "\0\0\0\0\0\1\0\0\377\376", 10);
	assert_memory_equal(file + HEADER + 64,
			    "\0\0\0\0\0\0\0\200\373\377\377\377\377\377\377\377", 16);
	assert_memory_equal(file + HEADER + 80, "\377\311\232\73\21\0\0\0\0\0\0\0\22\0\0\0", 16);
	assert_memory_equal(file + HEADER + 96, "\116\0\0\0", 4);
	assert_memory_equal(file + HEADER + 3 * RECORD,
			    "/unikernel/kernel\0" ORIGIN "\0/initrd\0\0/urunc.json\0\0", 119);
}

static void test_the_largest_facts_are_encoded_and_decoded(void **state)
{
	cleanup_with(li_store_facts_done) struct li_store_facts got = {};
	static char paths[LI_STORE_PATHS_MAX][LI_PATH_MAX + 1];
	static char origins[LI_STORE_PATHS_MAX][sizeof(ORIGIN) + LI_PATH_MAX];
	struct li_store_facts facts = {.count = LI_STORE_PATHS_MAX};
	cleanup_free uint8_t *file = NULL;
	size_t n;

	(void)state;
	for (size_t i = 0; i < LI_STORE_PATHS_MAX; i++) {
		memset(paths[i], 'a', LI_PATH_MAX);
		for (size_t at = 0; at < LI_PATH_MAX; at += 128)
			paths[i][at] = '/';
		paths[i][1] = (char)('a' + i);
		facts.answers[i].path = paths[i];
		facts.answers[i].kind = LI_STORE_ARTIFACT;
		snprintf(origins[i], sizeof(origins[i]), "%.71s%s", ORIGIN, paths[i]);
		facts.answers[i].origin = origins[i];
	}
	file = encode(&facts, &n);
	assert_int_equal(store_facts_decode(file, n, &got), 0);
	assert_int_equal(got.count, LI_STORE_PATHS_MAX);
	facts.count++;
	assert_int_equal(store_facts_encode(&facts, &(void *){NULL}, &n), -EINVAL);
}

static void test_a_file_cut_anywhere_is_rejected(void **state)
{
	cleanup_free uint8_t *file = NULL;
	size_t n;

	(void)state;
	file = encode(&sample, &n);
	for (size_t i = 0; i < n; i++) {
		uint8_t *part = malloc(i + 1);

		assert_non_null(part);
		memcpy(part, file, i);
		assert_int_equal(decode(part, i), -EINVAL);
		/* Also where the checksum is right. */
		if (i >= CHECKSUM) {
			sign(part, i);
			assert_int_equal(decode(part, i), -EINVAL);
		}
		free(part);
	}
}

static void test_any_changed_bit_is_found(void **state)
{
	cleanup_free uint8_t *file = NULL;
	size_t n;

	(void)state;
	file = encode(&sample, &n);
	for (size_t bit = 0; bit < 8 * n; bit++) {
		int want = bit / 8 == AT_VERSION || bit / 8 == AT_VERSION + 1 ? -EPROTO : -EINVAL;

		file[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(decode(file, n), want);
		file[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(decode(file, n), 0);
}

/* What no encoder writes is refused, whatever its checksum. */
static void test_what_no_encoder_writes_is_rejected(void **state)
{
	static const struct {
		const char *name;
		size_t at;
		const char *bytes;
		size_t n;
	} rows[] = {
		{"filed under a third thing", AT_BY, "\2", 1},
		{"a source that there is not", AT_SOURCE, "\3", 1},
		{"a table of contents under a chain", AT_SOURCE, "\2", 1},
		{"a chain that is another one", AT_CHAIN, "\2", 1},
		{"too many layers", AT_LAYERS, "\1\20\0\0\0\0\0\0", 8},
		{"too many diff ids", AT_LAYERS, "\0\0\0\0\1\20\0\0", 8},
		{"more layers than diff ids", AT_LAYERS, "\10", 1},
		{"17 answers", AT_COUNT, "\21", 1},
		{"an answer less", AT_COUNT, "\2", 1},
		{"strings that are longer", AT_STRINGS, "\170", 1},
		{"strings without end", AT_STRINGS, "\377\377\377\377", 4},
		{"a kind that there is not", HEADER, "\3", 1},
		{"a path that is longer", HEADER + 4, "\22", 1},
		{"a path that is shorter", HEADER + 4, "\20", 1},
		{"a path without end", HEADER + 4, "\377\377\377\377", 4},
		{"a mode with a type", HEADER + 8, "\0\20", 2},
		{"a reason of an artifact", HEADER + 20, "\1", 1},
		{"a negative size", HEADER + 31, "\200", 1},
		{"a nanosecond too many", HEADER + 80, "\0\312\232\73", 4},
		{"an object's, likewise", HEADER + 92, "\0\312\232\73", 4},
		{"an origin that is longer", HEADER + 96, "\117", 1},
		{"an origin without end", HEADER + 96, "\377\377\377\377", 4},
		{"an origin without a digest", HEADER + 3 * RECORD + 18, "x", 1},
		{"an origin with half a digest", HEADER + 3 * RECORD + 40, "/", 1},
		{"an origin without a path", HEADER + 3 * RECORD + 18 + 71, "x", 1},
		{"an origin that climbs", HEADER + 3 * RECORD + 18 + 71, "/../abc", 7},
		{"a size of what is absent", HEADER + RECORD + 24, "\1", 1},
		{"an owner of what is absent", HEADER + RECORD + 12, "\1", 1},
		{"an inode of what is absent", HEADER + RECORD + 64, "\1", 1},
		{"a reason of what is absent", HEADER + RECORD + 20, "\1", 1},
		{"no reason", HEADER + 2 * RECORD + 20, "\0", 1},
		{"a reason that is too large", HEADER + 2 * RECORD + 20, "\0\20\0\0", 4},
		{"a negative reason", HEADER + 2 * RECORD + 20, "\377\377\377\377", 4},
		{"a relative path", HEADER + 3 * RECORD, "u", 1},
		{"an empty component", HEADER + 3 * RECORD + 1, "/", 1},
		{"a slash at the end", HEADER + 3 * RECORD + 16, "/", 1},
		{"..", HEADER + 3 * RECORD + 97, "/../abc", 7},
		{".", HEADER + 3 * RECORD + 97, "/a/./bc", 7},
		{"a NUL in a path", HEADER + 3 * RECORD + 5, "", 1},
		{"no NUL behind a path", HEADER + 3 * RECORD + 17, "x", 1},
	};
	cleanup_free uint8_t *file = NULL, *copy = NULL;
	size_t n;

	(void)state;
	file = encode(&sample, &n);
	copy = malloc(n);
	assert_non_null(copy);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		memcpy(copy, file, n);
		memcpy(copy + rows[i].at, rows[i].bytes, rows[i].n);
		sign(copy, n);
		same_int(rows[i].name, decode(copy, n), -EINVAL);
	}
}

static void test_the_same_path_twice_is_rejected(void **state)
{
	struct li_store_facts facts = sample;
	void *file = NULL;
	size_t n;

	(void)state;
	facts.answers[2].path = facts.answers[0].path;
	assert_int_equal(store_facts_encode(&facts, &file, &n), -EINVAL);
	assert_null(file);
}

/* There is no blob that an absent file could be in. */
static void test_only_an_artifact_has_an_origin(void **state)
{
	struct li_store_facts facts = sample;
	void *file = NULL;
	size_t n;

	(void)state;
	facts.answers[1].origin = ORIGIN;
	assert_int_equal(store_facts_encode(&facts, &file, &n), -EINVAL);
}

static void test_a_manifest_may_come_from_a_table_of_contents(void **state)
{
	struct li_store_facts facts = sample;
	cleanup_free uint8_t *file = NULL;
	size_t n;

	(void)state;
	facts.key.by = LI_STORE_MANIFEST;
	facts.source = LI_STORE_TOC;
	file = encode(&facts, &n);
	assert_int_equal(decode(file, n), 0);
}

static void test_a_digest_is_parsed_and_printed(void **state)
{
	static const char hex[] =
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	char text[SHA256_DIGITS + 2] = "";
	struct li_digest digest;

	(void)state;
	assert_int_equal(li_digest_parse(hex, &digest), 0);
	assert_int_equal(digest.bytes[1], 0x23);
	li_digest_print(&digest, text);
	assert_string_equal(text, hex);
	for (size_t i = 0; i < SHA256_DIGITS; i++)
		for (const char *bad = "gG/:AF `"; *bad; bad++) {
			memcpy(text, hex, sizeof(hex));
			text[i] = *bad;
			assert_int_equal(li_digest_parse(text, &digest), -EINVAL);
		}
	memcpy(text, hex, sizeof(hex));
	text[SHA256_DIGITS] = '0';
	assert_int_equal(li_digest_parse(text, &digest), -EINVAL);
	text[SHA256_DIGITS - 1] = '\0';
	assert_int_equal(li_digest_parse(text, &digest), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_was_encoded_is_decoded),
		cmocka_unit_test(test_the_layout_is_fixed),
		cmocka_unit_test(test_the_largest_facts_are_encoded_and_decoded),
		cmocka_unit_test(test_a_file_cut_anywhere_is_rejected),
		cmocka_unit_test(test_any_changed_bit_is_found),
		cmocka_unit_test(test_what_no_encoder_writes_is_rejected),
		cmocka_unit_test(test_the_same_path_twice_is_rejected),
		cmocka_unit_test(test_only_an_artifact_has_an_origin),
		cmocka_unit_test(test_a_manifest_may_come_from_a_table_of_contents),
		cmocka_unit_test(test_a_digest_is_parsed_and_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
