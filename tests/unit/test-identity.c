/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/index/identity.h"

#include "tests/unit/fixture-index.h"

/* All that the kernel can tell of a directory. */
static const struct statx whole = {
	.stx_mask = ~0U,
	.stx_mnt_id = 1,
	.stx_dev_major = 2,
	.stx_dev_minor = 3,
	.stx_ino = 4,
	.stx_btime = {.tv_sec = 5, .tv_nsec = 6},
	.stx_ctime = {.tv_sec = 7, .tv_nsec = 8},
};

static struct identity identity_of(const struct statx *stx)
{
	struct identity identity;

	assert_int_equal(identity_of_directory(stx, &identity), 0);
	return identity;
}

static bool are_equal(const struct identity *a, const struct identity *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static void test_an_identity_changes_with_each_field_that_counts(void **state)
{
	struct identity known = identity_of(&whole);
	struct statx changed[] = {whole, whole, whole, whole, whole, whole, whole, whole};
	struct statx irrelevant = whole;

	(void)state;
	changed[0].stx_mnt_id++;
	changed[1].stx_dev_major++;
	changed[2].stx_dev_minor++;
	changed[3].stx_ino++;
	changed[4].stx_btime.tv_sec++;
	changed[5].stx_btime.tv_nsec++;
	changed[6].stx_ctime.tv_sec++;
	changed[7].stx_ctime.tv_nsec++;
	for (size_t i = 0; i < ARRAY_SIZE(changed); i++) {
		struct identity other = identity_of(&changed[i]);

		if (are_equal(&known, &other))
			fail_msg("row %zu: it is the same", i);
	}
	irrelevant.stx_atime.tv_sec++;
	irrelevant.stx_mtime.tv_sec++;
	irrelevant.stx_nlink++;
	assert_memory_equal(&known, (struct identity[]){identity_of(&irrelevant)}, sizeof(known));
}

/* Once its last change is a tick of the clock ago. */
static void test_an_identity_is_stable_a_tick_after_the_last_change(void **state)
{
	static const struct {
		struct timespec now;
		bool stable;
	} rows[] = {
		{{6, 999999999}, false}, {{7, 7}, false}, {{7, 8}, false},
		{{7, 9}, true},		 {{8, 0}, true},
	};
	struct identity identity = identity_of(&whole);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (identity_is_stable(&identity, &rows[i].now) != rows[i].stable)
			fail_msg("row %zu", i);
}

/* Where the kernel or the filesystem leaves a part out there is none. */
static void test_without_any_part_there_is_no_identity(void **state)
{
	static const unsigned needed[] = {STATX_INO, STATX_BTIME, STATX_CTIME, 0x4000};
	struct identity identity = {{99}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		struct statx stx = whole;

		assert_true(identity_mask() & needed[i]);
		stx.stx_mask &= ~needed[i];
		same_int("missing", identity_of_directory(&stx, &identity), -EOPNOTSUPP);
	}
	assert_int_equal(identity.words[0], 99);
}

static void test_directories_have_their_own_identities(void **state)
{
	struct identity first, again, other;

	(void)state;
	require_identities();
	make_dir("d");
	make_dir("e");
	identify("d", &first);
	identify("d", &again);
	assert_true(are_equal(&first, &again));
	identify("e", &other);
	assert_false(are_equal(&first, &other));
	/* Moved it is another, which costs a miss; in its place stands another. */
	assert_return_code(rename("d", "moved"), errno);
	make_dir("d");
	identify("d", &other);
	assert_false(are_equal(&first, &other));
	identify("moved", &first);
	wait_tick();
	make_file("moved/new", "");
	identify("moved", &again);
	assert_false(are_equal(&first, &again));
}

/* The same directory of the same filesystem, mounted once more. */
static void test_each_mount_of_a_directory_has_its_own_identity(void **state)
{
	struct identity first, second, third;

	(void)state;
	require_identities();
	private_mounts();
	make_dir("d");
	make_dir("e");
	identify("d", &first);
	for (int i = 0; i < 2; i++) {
		assert_return_code(mount("d", "e", "none", MS_BIND, NULL), errno);
		identify("e", i == 0 ? &second : &third);
		assert_return_code(umount("e"), errno);
	}
	assert_false(are_equal(&first, &second));
	assert_false(are_equal(&first, &third));
	assert_false(are_equal(&second, &third));
	assert_true(identity_is_same_directory(&first, &second));
	identify("e", &third);
	assert_false(identity_is_same_directory(&first, &third));
}

static bool are_equal_keys(const struct chain_key *a, const struct chain_key *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static int bits_that_differ(const struct chain_key *a, const struct chain_key *b)
{
	return __builtin_popcountll(a->words[0] ^ b->words[0]) +
	       __builtin_popcountll(a->words[1] ^ b->words[1]);
}

/* Far from what chance would ever leave of 128 bits. */
static void assert_unlike(const struct chain_key *a, const struct chain_key *b)
{
	assert_true(bits_that_differ(a, b) >= 24 && bits_that_differ(a, b) <= 104);
}

static void test_a_chain_starts_with_boot_and_marks(void **state)
{
	static const uint8_t boot[16] = {};
	struct chain_key key = chain_key_start(boot, false);
	struct chain_key again = chain_key_start(boot, false);
	struct chain_key user = chain_key_start(boot, true);

	(void)state;
	assert_true(are_equal_keys(&key, &again));
	assert_unlike(&key, &user);
	for (size_t bit = 0; bit < 128; bit++) {
		uint8_t another[16] = {};
		struct chain_key other;

		another[bit / 8] = (uint8_t)(1U << bit % 8);
		other = chain_key_start(another, false);
		assert_unlike(&key, &other);
	}
}

static void test_every_bit_of_an_identity_changes_the_key(void **state)
{
	static const uint8_t boot[16] = {1, 2, 3};
	struct chain_key bottom = chain_key_start(boot, false);
	struct identity known = identity_of(&whole);
	struct chain_key key = chain_key_on(&known, &bottom);

	(void)state;
	assert_unlike(&key, &bottom);
	for (size_t bit = 0; bit < 64 * IDENTITY_WORDS; bit++) {
		struct identity other = known;
		struct chain_key changed;

		other.words[bit / 64] ^= 1ULL << bit % 64;
		changed = chain_key_on(&other, &bottom);
		assert_unlike(&key, &changed);
	}
	for (size_t bit = 0; bit < 128; bit++) {
		struct chain_key below = bottom, changed;

		below.words[bit / 64] ^= 1ULL << bit % 64;
		changed = chain_key_on(&known, &below);
		assert_unlike(&key, &changed);
	}
}

static void test_the_order_of_layers_changes_the_key(void **state)
{
	static const uint8_t boot[16] = {};
	struct chain_key bottom = chain_key_start(boot, false);
	struct identity a = identity_of(&whole), b = a;
	struct chain_key on_a, on_b, a_on_b, b_on_a, a_on_a;

	(void)state;
	b.words[3]++;
	on_a = chain_key_on(&a, &bottom);
	on_b = chain_key_on(&b, &bottom);
	b_on_a = chain_key_on(&b, &on_a);
	a_on_b = chain_key_on(&a, &on_b);
	a_on_a = chain_key_on(&a, &on_a);
	assert_unlike(&a_on_b, &b_on_a);
	assert_unlike(&a_on_a, &on_a);
	assert_unlike(&a_on_a, &b_on_a);
}

enum { MANY = 100000 };

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct chain_key));
}

/* As the directories of a filesystem are: one inode after the other, and everything else alike. */
static void test_keys_of_similar_directories_differ(void **state)
{
	static const uint8_t boot[16] = {};
	static struct chain_key keys[MANY];
	struct chain_key bottom = chain_key_start(boot, false);
	struct identity identity = identity_of(&whole);

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		identity.words[3] = i;
		keys[i] = chain_key_on(&identity, &bottom);
	}
	qsort(keys, MANY, sizeof(*keys), compare_keys);
	/* In the first half alone there is none twice. */
	for (size_t i = 1; i < MANY; i++)
		assert_true(keys[i].words[0] != keys[i - 1].words[0]);
}

static void test_a_key_is_named_by_its_hex_digits(void **state)
{
	struct chain_key key = {{0x0123456789abcdef, 0xf}};
	char name[CHAIN_KEY_NAME + 1];

	(void)state;
	chain_key_name(&key, name);
	assert_string_equal(name, "0123456789abcdef000000000000000f");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_identity_changes_with_each_field_that_counts),
		cmocka_unit_test(test_an_identity_is_stable_a_tick_after_the_last_change),
		cmocka_unit_test(test_without_any_part_there_is_no_identity),
		scratch_test(test_directories_have_their_own_identities),
		scratch_test(test_each_mount_of_a_directory_has_its_own_identity),
		cmocka_unit_test(test_a_chain_starts_with_boot_and_marks),
		cmocka_unit_test(test_every_bit_of_an_identity_changes_the_key),
		cmocka_unit_test(test_the_order_of_layers_changes_the_key),
		cmocka_unit_test(test_keys_of_similar_directories_differ),
		cmocka_unit_test(test_a_key_is_named_by_its_hex_digits),
	};

	return cmocka_run_group_tests_name("identity", tests, NULL, NULL);
}
