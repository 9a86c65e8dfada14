/* SPDX-License-Identifier: Apache-2.0 */
/* Each engine is held against libmd, and against the vectors of FIPS 180-4's examples. */
#include "layerindex/hash/sha256.h"

#include <sha2.h>

#include "tests/unit/fixture.h"

static const char *const names[SHA256_ENGINES] = {
	[SHA256_PORTABLE] = "portable",
	[SHA256_SHA_NI] = "SHA-NI",
	[SHA256_ARM_SHA2] = "arm64 SHA2",
};

static void print(const uint8_t digest[static SHA256_BYTES], char ret[static SHA256_DIGITS + 1])
{
	for (size_t i = 0; i < SHA256_BYTES; i++)
		sprintf(ret + 2 * i, "%02x", digest[i]);
}

/* The input in parts of *part* bytes. */
static void hash(enum sha256_engine engine, const uint8_t *bytes, size_t n, size_t part,
		 uint8_t ret[static SHA256_BYTES])
{
	struct sha256 hash;

	sha256_start_by(&hash, engine);
	for (size_t at = 0; at < n; at += part)
		sha256_add(&hash, bytes + at, n - at < part ? n - at : part);
	sha256_finish(&hash, ret);
}

static void test_published_vectors_match(void **state)
{
	static const struct {
		const char *input, *want;
	} rows[] = {
		{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
	};

	(void)state;
	for (int engine = 0; engine < SHA256_ENGINES; engine++)
		for (size_t i = 0; i < ARRAY_SIZE(rows) && sha256_has(engine); i++) {
			uint8_t digest[SHA256_BYTES];
			char text[SHA256_DIGITS + 1];

			hash(engine, (const uint8_t *)rows[i].input, strlen(rows[i].input), 1,
			     digest);
			print(digest, text);
			same_str(names[engine], text, rows[i].want);
		}
}

/* Every length up to some blocks, in parts that end anywhere, at any alignment. */
static void test_each_length_and_split_has_libmds_digest(void **state)
{
	static const size_t parts[] = {1, 3, 55, 56, 63, 64, 65, 127, 1024};
	uint8_t bytes[600];
	uint32_t random = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		random = random * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(random >> 24);
	}
	for (size_t n = 0; n + 8 <= sizeof(bytes); n++) {
		const uint8_t *input = bytes + n % 8;
		uint8_t want[SHA256_BYTES], got[SHA256_BYTES];
		SHA2_CTX context;

		SHA256Init(&context);
		SHA256Update(&context, input, n);
		SHA256Final(want, &context);
		for (int engine = 0; engine < SHA256_ENGINES; engine++)
			for (size_t i = 0; i < ARRAY_SIZE(parts) && sha256_has(engine); i++) {
				hash(engine, input, n, parts[i], got);
				if (memcmp(got, want, sizeof(got)) != 0)
					fail_msg("%s: %zu bytes in parts of %zu", names[engine], n,
						 parts[i]);
			}
	}
}

/* More bits than 32 bits count. */
static void test_an_input_of_more_than_32_bits_is_counted(void **state)
{
	static const uint8_t zeros[1 << 20];
	uint8_t digest[SHA256_BYTES];
	char text[SHA256_DIGITS + 1];
	struct sha256 hash;

	(void)state;
	sha256_start(&hash);
	for (size_t i = 0; i < 513; i++)
		sha256_add(&hash, zeros, sizeof(zeros));
	sha256_finish(&hash, digest);
	print(digest, text);
	assert_string_equal(text,
			    "a3e2acbb469e4e59dde406f912e754c933c1ac0fb0092a3634d61d5073309c0c");
}

/* What the kernel says that the processor has is found, and nothing else. */
static void test_an_engine_is_detected_as_the_kernel_says(void **state)
{
	const char *preload = getenv("LD_PRELOAD");
	cleanup_free char *line = NULL;
	FILE *file = NULL;
	bool has = false;
	size_t size = 0;

	(void)state;
	/* valgrind has a processor of its own, which /proc/cpuinfo does not describe. */
	if (preload && strstr(preload, "vgpreload"))
		skip();
	file = fopen("/proc/cpuinfo", "re");
	assert_non_null(file);
	while (getline(&line, &size, file) > 0)
		has |= strstr(line, " sha_ni") || strstr(line, " sha2");
#if !defined(__x86_64__) && !defined(__aarch64__)
	/* A 32-bit program has none, whatever the processor has. */
	has = false;
#endif
	fclose(file);
	assert_int_equal(sha256_has(SHA256_SHA_NI) || sha256_has(SHA256_ARM_SHA2), has);
	assert_true(sha256_has(SHA256_PORTABLE));
	print_message("engines: portable%s%s\n", sha256_has(SHA256_SHA_NI) ? ", SHA-NI" : "",
		      sha256_has(SHA256_ARM_SHA2) ? ", arm64 SHA2" : "");
}

/* The fastest is chosen. */
static void test_the_fastest_engine_is_chosen(void **state)
{
	struct sha256 chosen, portable;

	(void)state;
	sha256_start(&chosen);
	sha256_start_by(&portable, SHA256_PORTABLE);
	assert_int_equal(chosen.add_blocks != portable.add_blocks,
			 sha256_has(SHA256_SHA_NI) || sha256_has(SHA256_ARM_SHA2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_vectors_match),
		cmocka_unit_test(test_each_length_and_split_has_libmds_digest),
		cmocka_unit_test(test_an_input_of_more_than_32_bits_is_counted),
		cmocka_unit_test(test_an_engine_is_detected_as_the_kernel_says),
		cmocka_unit_test(test_the_fastest_engine_is_chosen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
