/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/index/facts-file.h"

#include <endian.h>

#include "layerindex/hash/siphash.h"
#include "layerindex/layerindex.h"
#include "tests/unit/fixture.h"

/* Where things stand: urunc-viewfs-index(5). */
enum {
	AT_CHECKSUM = 8,
	PREFIX = 16,
	HEADER = 80,
	KEY = 16,
	RECORD = 56,
	AT_LAYERS = 64,
	AT_TOP_PATH = 68,
	AT_COUNT = 72,
	AT_STRINGS = 76,
};

struct bytes {
	uint8_t *data;
	size_t size;
};

static void bytes_done(struct bytes *bytes)
{
	free(bytes->data);
}
DEFINE_CLEANUP(struct bytes, bytes_done)

static const struct chain chain = {
	.key = {{0x0102030405060708, 0x1112131415161718}},
	.top = {{1, 2, 3, 4, 5, 6}},
	.layers = 20,
};

static void fill(struct facts *facts, uint32_t *top_path)
{
	const struct fact leaf = {
		.kind = FACT_LEAF,
		.layer = 19,
		.stamp = {.inode = 21,
			  .size = 22,
			  .modified = -23,
			  .changed = 24,
			  .modified_ns = 25,
			  .changed_ns = 26},
	};

	assert_int_equal(facts_add_string(facts, "/snapshots/1/fs", top_path), 0);
	assert_int_equal(facts_add(facts, "a", &(struct fact){.kind = FACT_DIRECTORY, .layer = 3}),
			 0);
	assert_int_equal(facts_add(facts, "a/kernel", &leaf), 0);
	assert_int_equal(facts_add(facts, "urunc.json", &(struct fact){.kind = FACT_ABSENT}), 0);
}

static struct bytes small_file(void)
{
	cleanup_with(facts_done) struct facts facts = {};
	struct chain made = chain;
	struct bytes file;
	void *data;

	fill(&facts, &made.top_path);
	assert_int_equal(facts_file_encode(&made, &facts, &data, &file.size), 0);
	file.data = data;
	return file;
}

static bool are_equal(const struct facts *a, const struct facts *b)
{
	if (a->count != b->count || a->size != b->size ||
	    memcmp(a->strings, b->strings, a->size) != 0)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const struct fact *one = &a->items[i], *other = &b->items[i];

		if (one->kind != other->kind || one->path != other->path ||
		    one->layer != other->layer ||
		    memcmp(&one->stamp, &other->stamp, sizeof(one->stamp)) != 0)
			return false;
	}
	return true;
}

static int decode(const void *bytes, size_t n)
{
	cleanup_with(facts_done) struct facts facts = {};
	struct chain ignored;

	return facts_file_decode(bytes, n, &ignored, &facts);
}

/* What the chain's key, as a key, makes of what follows it. */
static uint64_t checksum(const uint8_t *payload, size_t n)
{
	struct siphash_key key = siphash_key_from(payload);

	return htole64(siphash64(&key, payload + KEY, n - KEY));
}

/* A file of *n* bytes of payload, whatever they are, with the checksum of them. */
static struct bytes wrap(const void *payload, size_t n)
{
	struct bytes file = {malloc(PREFIX + n), PREFIX + n};
	uint64_t sum = n < KEY ? 0 : checksum(payload, n);

	assert_non_null(file.data);
	memcpy(file.data, "UVFX\2\0\0", AT_CHECKSUM);
	memcpy(file.data + AT_CHECKSUM, &sum, sizeof(sum));
	memcpy(file.data + PREFIX, payload, n);
	return file;
}

static struct bytes unwrap(const struct bytes *file)
{
	struct bytes payload = {malloc(file->size - PREFIX), file->size - PREFIX};

	assert_non_null(payload.data);
	memcpy(payload.data, file->data + PREFIX, payload.size);
	return payload;
}

static void put32(struct bytes *bytes, size_t at, uint32_t value)
{
	value = htole32(value);
	memcpy(bytes->data + at, &value, sizeof(value));
}

static void test_what_was_encoded_is_decoded(void **state)
{
	cleanup_with(bytes_done) struct bytes file = small_file();
	cleanup_with(facts_done) struct facts facts = {};
	cleanup_with(facts_done) struct facts want = {};
	struct chain found, made = chain;

	(void)state;
	fill(&want, &made.top_path);
	assert_int_equal(facts_file_decode(file.data, file.size, &found, &facts), 0);
	assert_memory_equal(&found, &made, sizeof(made));
	assert_true(are_equal(&facts, &want));
}

/* Byte by byte: files are read by other builds, on other machines. */
static void test_the_layout_is_fixed(void **state)
{
	/* Magic, version, zero, SipHash-2-4 of what follows the key, with that as a key. */
	static const uint8_t prefix[PREFIX] = {'U',  'V',  'F',	 'X',  2,    0,	   0,	 0,
					       0xcc, 0x55, 0xc7, 0x51, 0x05, 0xe8, 0xd5, 0xfb};
	static const uint8_t header[HEADER] = {/* The key. */
					       0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, 0x18,
					       0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,
					       /* The topmost layer's identity. */
					       1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0,
					       0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0,
					       0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0,
					       /* How many layers, where the path of the topmost
						  stands, facts, bytes of strings. */
					       20, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 38, 0, 0, 0};
	static const uint8_t leaf[RECORD] = {/* Kind, path, layer, zero. */
					     2, 0, 0, 0, 18, 0, 0, 0, 19, 0, 0, 0, 0, 0, 0, 0,
					     /* Inode, size. */
					     21, 0, 0, 0, 0, 0, 0, 0, 22, 0, 0, 0, 0, 0, 0, 0,
					     /* Seconds and nanoseconds. */
					     0xe9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 24, 0,
					     0, 0, 0, 0, 0, 0, 25, 0, 0, 0, 26, 0, 0, 0};
	static const char strings[] = "/snapshots/1/fs\0a\0a/kernel\0urunc.json";
	cleanup_with(bytes_done) struct bytes file = small_file();
	cleanup_with(bytes_done) struct bytes payload = unwrap(&file);

	(void)state;
	assert_memory_equal(file.data, prefix, PREFIX);
	assert_int_equal(payload.size, HEADER + 3 * RECORD + sizeof(strings));
	assert_memory_equal(payload.data, header, HEADER);
	assert_memory_equal(payload.data + HEADER + RECORD, leaf, RECORD);
	assert_memory_equal(payload.data + HEADER + 3 * RECORD, strings, sizeof(strings));
}

/* The checksum or the prefix's own rules find each. */
static void test_every_changed_byte_is_found(void **state)
{
	cleanup_with(bytes_done) struct bytes file = small_file();

	(void)state;
	for (size_t i = 0; i < file.size; i++)
		for (unsigned change = 1; change < 256; change++) {
			file.data[i] ^= (uint8_t)change;
			if (decode(file.data, file.size) == 0)
				fail_msg("byte %zu: the change %u is not found", i, change);
			file.data[i] ^= (uint8_t)change;
		}
}

static void test_every_shorter_file_is_rejected(void **state)
{
	cleanup_with(bytes_done) struct bytes file = small_file();

	(void)state;
	assert_int_equal(decode(file.data, file.size), 0);
	for (size_t n = 0; n < file.size; n++) {
		/* Exactly as large: a sanitizer sees a read behind it. */
		cleanup_free uint8_t *part = malloc(n > 0 ? n : 1);

		assert_non_null(part);
		memcpy(part, file.data, n);
		same_int("truncated", decode(part, n), -EINVAL);
	}
}

static void test_other_versions_are_told_from_damage(void **state)
{
	static const struct {
		uint8_t prefix[AT_CHECKSUM];
		int r;
	} rows[] = {
		{"UVFX\2\0\0", 0},	 {"UVFX\1\0\0", -EPROTO},
		{"UVFX\0\0\0", -EPROTO}, {"UVFX\3\0\0", -EPROTO},
		{"UVFX\2\1\0", -EPROTO}, {"UVFX\2\0\1", -EINVAL},
		{"uvfx\2\0\0", -EINVAL}, {{'U', 'V', 'F', 'X', 2, 0, 0, 1}, -EINVAL},
	};
	cleanup_with(bytes_done) struct bytes file = small_file();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		memcpy(file.data, rows[i].prefix, AT_CHECKSUM);
		same_int((const char *)rows[i].prefix, decode(file.data, file.size), rows[i].r);
	}
	/* Whatever the rest of it looks like by then. */
	assert_int_equal(decode("UVFX\3\0\0\0", AT_CHECKSUM), -EPROTO);
	assert_int_equal(decode("UVFX\1\0\0\0\x28\xb5\x2f\xfd", AT_CHECKSUM + 4), -EPROTO);
}

/* Between what is right and what is not, for each number of the payload. */
static void test_each_number_has_its_limits(void **state)
{
	static const struct {
		const char *name;
		size_t at;
		uint32_t value;
		int r;
	} rows[] = {
		{"no layers", AT_LAYERS, 0, -EINVAL},
		{"fewer layers than a fact speaks of", AT_LAYERS, 19, -EINVAL},
		{"most layers", AT_LAYERS, LI_LAYERS_MAX, 0},
		{"too many layers", AT_LAYERS, LI_LAYERS_MAX + 1, -EINVAL},
		{"the layer's path is the last NUL", AT_TOP_PATH, 37, 0},
		{"it is behind the strings", AT_TOP_PATH, 38, -EINVAL},
		{"it is far behind", AT_TOP_PATH, UINT32_MAX, -EINVAL},
		{"a fact less", AT_COUNT, 2, -EINVAL},
		{"a fact more", AT_COUNT, 4, -EINVAL},
		{"many facts", AT_COUNT, UINT32_MAX, -EINVAL},
		{"strings shorter", AT_STRINGS, 37, -EINVAL},
		{"strings longer", AT_STRINGS, 39, -EINVAL},
		{"long strings", AT_STRINGS, UINT32_MAX, -EINVAL},
		{"no strings", AT_STRINGS, 0, -EINVAL},
		{"another kind", HEADER, FACT_ABSENT, 0},
		{"an unknown kind", HEADER, FACT_LEAF + 1, -EINVAL},
		{"a huge kind", HEADER, UINT32_MAX, -EINVAL},
		{"the path is the last NUL", HEADER + 4, 37, 0},
		{"the path is behind the strings", HEADER + 4, 38, -EINVAL},
		{"the bottom layer", HEADER + 8, 19, 0},
		{"below it", HEADER + 8, 20, -EINVAL},
		{"what is zero", HEADER + 12, 1, -EINVAL},
		{"the last fact's kind", HEADER + 2 * RECORD, FACT_LEAF + 1, -EINVAL},
	};
	cleanup_with(bytes_done) struct bytes whole = small_file();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_with(bytes_done) struct bytes payload = unwrap(&whole);
		cleanup_with(bytes_done) struct bytes file = {};

		put32(&payload, rows[i].at, rows[i].value);
		file = wrap(payload.data, payload.size);
		same_int(rows[i].name, decode(file.data, file.size), rows[i].r);
	}
}

static void test_every_shorter_payload_is_rejected(void **state)
{
	cleanup_with(bytes_done) struct bytes whole = small_file();
	cleanup_with(bytes_done) struct bytes payload = unwrap(&whole);

	(void)state;
	for (size_t n = 0; n < payload.size; n++) {
		cleanup_with(bytes_done) struct bytes file = wrap(payload.data, n);

		same_int("shorter", decode(file.data, file.size), -EINVAL);
	}
}

static void test_strings_must_end_with_a_nul(void **state)
{
	cleanup_with(bytes_done) struct bytes whole = small_file();
	cleanup_with(bytes_done) struct bytes payload = unwrap(&whole);
	cleanup_with(bytes_done) struct bytes file = {};

	(void)state;
	payload.data[payload.size - 1] = 'x';
	file = wrap(payload.data, payload.size);
	assert_int_equal(decode(file.data, file.size), -EINVAL);
}

static struct bytes with_tail(const struct bytes *file, const void *tail, size_t n)
{
	struct bytes longer = {malloc(file->size + n), file->size + n};

	assert_non_null(longer.data);
	memcpy(longer.data, file->data, file->size);
	memcpy(longer.data + file->size, tail, n);
	return longer;
}

/* Nothing may stand behind the strings, with or without a checksum that covers it. */
static void test_bytes_after_the_strings_are_rejected(void **state)
{
	cleanup_with(bytes_done) struct bytes file = small_file();
	cleanup_with(bytes_done) struct bytes and_a_byte = with_tail(&file, "", 1);
	cleanup_with(bytes_done) struct bytes two = with_tail(&file, file.data, file.size);
	cleanup_with(bytes_done) struct bytes covered =
		wrap(and_a_byte.data + PREFIX, and_a_byte.size - PREFIX);

	(void)state;
	assert_int_equal(decode(and_a_byte.data, and_a_byte.size), -EINVAL);
	assert_int_equal(decode(two.data, two.size), -EINVAL);
	assert_int_equal(decode(covered.data, covered.size), -EINVAL);
}

/* An entry under another chain's key has another checksum: a copy to another name is damage. */
static void test_the_key_is_part_of_the_checksum(void **state)
{
	cleanup_with(bytes_done) struct bytes file = small_file();

	(void)state;
	for (size_t bit = 0; bit < 8 * KEY; bit++) {
		file.data[PREFIX + bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(decode(file.data, file.size), -EINVAL);
		file.data[PREFIX + bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void fill_string(char *text, size_t n)
{
	uint64_t random = 1;

	for (size_t i = 0; i < n; i++) {
		random = random * 6364136223846793005 + 1442695040888963407;
		text[i] = (char)((random >> 56) | 1);
	}
	text[n] = '\0';
}

/* What can be encoded can be read, and nothing larger. */
static void test_the_largest_file_is_decoded_and_no_larger_one_is_encoded(void **state)
{
	cleanup_with(facts_done) struct facts facts = {}, found = {};
	static char text[FACTS_STRINGS_MAX / (FACTS_MAX + 1)];
	struct chain made = chain, read;
	cleanup_free void *data = NULL;
	size_t size;

	(void)state;
	fill_string(text, sizeof(text) - 2);
	assert_int_equal(facts_add_string(&facts, text, &made.top_path), 0);
	for (size_t i = 0; i < FACTS_MAX; i++) {
		struct fact fact = {.kind = FACT_LEAF, .layer = i % made.layers};

		fill_string((char *)&fact.stamp, sizeof(fact.stamp) - 1);
		text[i]++;
		same_int("add", facts_add(&facts, text, &fact), 0);
	}
	assert_int_equal(facts_file_encode(&made, &facts, &data, &size), 0);
	assert_true(size <= FACTS_FILE_MAX);
	assert_int_equal(facts_file_decode(data, size, &read, &found), 0);
	assert_true(are_equal(&found, &facts));
}

static void test_outputs_are_written_only_on_success(void **state)
{
	cleanup_with(bytes_done) struct bytes whole = small_file();
	cleanup_with(bytes_done) struct bytes payload = unwrap(&whole);
	cleanup_with(bytes_done) struct bytes file = {};
	cleanup_with(facts_done) struct facts facts = {};
	struct chain found = {.layers = 99};

	(void)state;
	put32(&payload, HEADER + 2 * RECORD, FACT_LEAF + 1);
	file = wrap(payload.data, payload.size);
	assert_int_equal(facts_file_decode(file.data, file.size, &found, &facts), -EINVAL);
	assert_int_equal(found.layers, 99);
	assert_int_equal(facts.count, 0);
	assert_null(facts.strings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_was_encoded_is_decoded),
		cmocka_unit_test(test_the_layout_is_fixed),
		cmocka_unit_test(test_every_changed_byte_is_found),
		cmocka_unit_test(test_every_shorter_file_is_rejected),
		cmocka_unit_test(test_other_versions_are_told_from_damage),
		cmocka_unit_test(test_each_number_has_its_limits),
		cmocka_unit_test(test_every_shorter_payload_is_rejected),
		cmocka_unit_test(test_strings_must_end_with_a_nul),
		cmocka_unit_test(test_bytes_after_the_strings_are_rejected),
		cmocka_unit_test(test_the_key_is_part_of_the_checksum),
		cmocka_unit_test(test_the_largest_file_is_decoded_and_no_larger_one_is_encoded),
		cmocka_unit_test(test_outputs_are_written_only_on_success),
	};

	return cmocka_run_group_tests_name("facts-file", tests, NULL, NULL);
}
