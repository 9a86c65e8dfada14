/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/index/facts.h"

#include "tests/unit/fixture.h"

static void test_a_stamp_changes_with_each_field_that_counts(void **state)
{
	const struct stat known = {
		.st_ino = 1,
		.st_size = 2,
		.st_mtim = {.tv_sec = 3, .tv_nsec = 4},
		.st_ctim = {.tv_sec = 5, .tv_nsec = 6},
	};
	struct stamp stamp = stamp_of(&known);
	struct stat changed[] = {known, known, known, known, known, known};
	struct stat irrelevant = known;

	(void)state;
	changed[0].st_ino++;
	changed[1].st_size++;
	changed[2].st_mtim.tv_sec++;
	changed[3].st_mtim.tv_nsec++;
	changed[4].st_ctim.tv_sec++;
	changed[5].st_ctim.tv_nsec++;
	for (size_t i = 0; i < ARRAY_SIZE(changed); i++)
		if (stamp_matches(&stamp, &changed[i]))
			fail_msg("row %zu: it is taken for the same", i);
	irrelevant.st_atim.tv_sec++;
	irrelevant.st_nlink++;
	assert_true(stamp_matches(&stamp, &irrelevant));
}

/* Times before 1970, and sizes and inodes of all 64 bits. */
static void test_a_stamp_holds_extreme_values(void **state)
{
	const struct stat odd = {
		.st_ino = UINT64_MAX,
		.st_size = INT64_MAX,
		.st_mtim = {.tv_sec = -1, .tv_nsec = 999999999},
		.st_ctim = {.tv_sec = INT64_MIN},
	};
	struct stamp stamp = stamp_of(&odd);

	(void)state;
	assert_int_equal(stamp.modified, -1);
	assert_true(stamp_matches(&stamp, &odd));
}

static void test_a_fact_is_found_by_its_path(void **state)
{
	cleanup_with(facts_done) struct facts facts = {};
	const struct fact *found;

	(void)state;
	assert_null(facts_find(&facts, "a"));
	assert_int_equal(facts_add(&facts, "a", &(struct fact){.kind = FACT_DIRECTORY}), 0);
	assert_int_equal(facts_add(&facts, "a/b", &(struct fact){.kind = FACT_LEAF, .layer = 7}),
			 0);
	assert_int_equal(facts_add(&facts, "", &(struct fact){.kind = FACT_ABSENT}), 0);
	found = facts_find(&facts, "a/b");
	assert_non_null(found);
	assert_int_equal(found->kind, FACT_LEAF);
	assert_int_equal(found->layer, 7);
	assert_string_equal(facts_path(&facts, found), "a/b");
	assert_int_equal(facts_find(&facts, "a")->kind, FACT_DIRECTORY);
	assert_int_equal(facts_find(&facts, "")->kind, FACT_ABSENT);
	assert_null(facts_find(&facts, "b"));
	assert_null(facts_find(&facts, "a/"));
}

static void test_the_number_of_facts_is_limited(void **state)
{
	cleanup_with(facts_done) struct facts facts = {};
	const struct fact fact = {.kind = FACT_ABSENT};
	char path[16];

	(void)state;
	for (int i = 0; i < FACTS_MAX; i++) {
		snprintf(path, sizeof(path), "%d", i);
		same_int(path, facts_add(&facts, path, &fact), 0);
	}
	assert_int_equal(facts_add(&facts, "more", &fact), -E2BIG);
	assert_null(facts_find(&facts, "more"));
	snprintf(path, sizeof(path), "%d", FACTS_MAX - 1);
	assert_non_null(facts_find(&facts, path));
	facts_done(&facts);
	assert_int_equal(facts.count, 0);
	assert_int_equal(facts_add(&facts, "again", &fact), 0);
}

static void test_the_bytes_of_strings_are_limited(void **state)
{
	cleanup_with(facts_done) struct facts facts = {};
	cleanup_free char *most = malloc(FACTS_STRINGS_MAX);
	uint32_t at = 99;

	(void)state;
	assert_non_null(most);
	memset(most, 'x', FACTS_STRINGS_MAX - 1);
	most[FACTS_STRINGS_MAX - 1] = '\0';
	assert_int_equal(facts_add_string(&facts, "", &at), 0);
	assert_int_equal(at, 0);
	assert_int_equal(facts_add_string(&facts, most, &at), -E2BIG);
	assert_int_equal(facts_add(&facts, most, &(struct fact){}), -E2BIG);
	assert_int_equal(facts.count, 0);
	/* With the NUL of the one before. */
	assert_int_equal(facts_add_string(&facts, most + 1, &at), 0);
	assert_int_equal(at, 1);
	assert_int_equal(facts_add_string(&facts, "", &at), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_stamp_changes_with_each_field_that_counts),
		cmocka_unit_test(test_a_stamp_holds_extreme_values),
		cmocka_unit_test(test_a_fact_is_found_by_its_path),
		cmocka_unit_test(test_the_number_of_facts_is_limited),
		cmocka_unit_test(test_the_bytes_of_strings_are_limited),
	};

	return cmocka_run_group_tests_name("facts", tests, NULL, NULL);
}
