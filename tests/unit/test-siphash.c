/* SPDX-License-Identifier: Apache-2.0 */
/* The vectors that the authors publish: key 00 01 02 ... 0f, input 00 01 02 ... of each length. */
#include "layerindex/hash/siphash.h"

#include <endian.h>

#include "tests/unit/fixture.h"

static const struct {
	size_t size;
	const char *want64, *want128;
} rows[] = {
	{0, "310e0edd47db6f72", "a3817f04ba25a8e66df67214c7550293"},
	{1, "fd67dc93c539f874", "da87c1d86b99af44347659119b22fc45"},
	{2, "5a4fa9d909806c0d", "8177228da4a45dc7fca38bdef60affe4"},
	{3, "2d7efbd796666785", "9c70b60c5267a94e5f33b6b02985ed51"},
	{4, "b7877127e09427cf", "f88164c12d9c8faf7d0f6e7c7bcd5579"},
	{5, "8da699cd64557618", "1368875980776f8854527a07690e9627"},
	{6, "cee3fe586e46c9cb", "14eeca338b208613485ea0308fd7a15e"},
	{7, "37d1018bf50002ab", "a1f1ebbed8dbc153c0b84aa61ff08239"},
	{8, "6224939a79f5f593", "3b62a9ba6258f5610f83e264f31497b4"},
	{9, "b0e4a90bdf82009e", "264499060ad9baabc47f8b02bb6d71ed"},
	{10, "f3b9dd94c5bb5d7a", "00110dc378146956c95447d3f3d0fbba"},
	{11, "a7ad6b22462fb3f4", "0151c568386b6677a2b4dc6f81e5dc18"},
	{12, "fbe50e86bc8f1e75", "d626b266905ef35882634df68532c125"},
	{13, "903d84c02756ea14", "9869e247e9c08b10d029934fc4b952f7"},
	{14, "eef27a8e90ca23f7", "31fcefac66d7de9c7ec7485fe4494902"},
	{15, "e545be4961ca29a1", "5493e99933b0a8117e08ec0f97cfc3d9"},
	{16, "db9bc2577fcc2a3f", "6ee2a4ca67b054bbfd3315bf85230577"},
	{31, "42c341d8fa92d832", "2939b0183223fafc1723de4f52c43d35"},
	{32, "ce7cf2722f512771", "7c3956ca5eeafc3e363e9d556546eb68"},
	{63, "724506eb4c328a95", "5150d1772f50834a503e069a973fbd7c"},
};

static void fill(uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)i;
}

static void print(char *to, const uint64_t *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sprintf(to + 16 * i, "%016jx", (uintmax_t)htobe64(htole64(words[i])));
}

static void test_published_vectors_match(void **state)
{
	uint8_t bytes[64], key_bytes[16];
	struct siphash_key key;

	(void)state;
	fill(bytes, sizeof(bytes));
	fill(key_bytes, sizeof(key_bytes));
	key = siphash_key_from(key_bytes);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t got[2] = {siphash64(&key, bytes, rows[i].size)};
		char row[16], text[33];

		snprintf(row, sizeof(row), "%zu bytes", rows[i].size);
		print(text, got, 1);
		same_str(row, text, rows[i].want64);
		siphash128(&key, bytes, rows[i].size, got);
		print(text, got, 2);
		same_str(row, text, rows[i].want128);
	}
}

/* The same input anywhere in memory has the same hash. */
static void test_alignment_does_not_matter(void **state)
{
	struct siphash_key key = {{1, 2}};
	uint8_t bytes[64 + 8];
	uint64_t want;

	(void)state;
	fill(bytes, 64);
	want = siphash64(&key, bytes, 61);
	for (size_t at = 1; at < 8; at++) {
		fill(bytes + at, 64);
		assert_int_equal(siphash64(&key, bytes + at, 61), want);
	}
}

/* Each bit of the key, and of the input, counts. */
static void test_every_bit_counts(void **state)
{
	uint64_t none = siphash64(&(struct siphash_key){}, (uint8_t[24]){}, 24);

	(void)state;
	for (size_t i = 0; i < 128; i++) {
		struct siphash_key key = {};

		key.words[i / 64] = (uint64_t)1 << i % 64;
		assert_int_not_equal(siphash64(&key, (uint8_t[24]){}, 24), none);
	}
	for (size_t i = 0; i < 24 * 8; i++) {
		uint8_t bytes[24] = {};

		bytes[i / 8] = (uint8_t)(1 << i % 8);
		assert_int_not_equal(siphash64(&(struct siphash_key){}, bytes, 24), none);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_vectors_match),
		cmocka_unit_test(test_alignment_does_not_matter),
		cmocka_unit_test(test_every_bit_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
