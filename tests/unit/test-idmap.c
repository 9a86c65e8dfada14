/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/cli/idmap.h"

#include "tests/unit/fixture.h"

static void test_only_valid_ranges_are_appended(void **state)
{
	static const struct {
		const char *range;
		int r;
	} rows[] = {
		{"0:100000:65536", 0},
		{"0:0:4294967295", 0},
		{"4294967294:0:1", 0},
		/* Beyond 32 bits; the last id is none. */
		{"0:0:4294967296", -EINVAL},
		{"4294967295:0:1", -EINVAL},
		{"0:4294967295:1", -EINVAL},
		{"1:0:4294967295", -EINVAL},
		{"0:1:4294967295", -EINVAL},
		{"99999999999999999999:0:1", -EINVAL},
		/* Not of the form. */
		{"0:0:0", -EINVAL},
		{"", -EINVAL},
		{"0", -EINVAL},
		{"0:0", -EINVAL},
		{"0:0:", -EINVAL},
		{":0:1", -EINVAL},
		{"0::1", -EINVAL},
		{"0:0:1:", -EINVAL},
		{"0:0:1:2", -EINVAL},
		{"-1:0:1", -EINVAL},
		{"0:0:1 ", -EINVAL},
		{"a:0:1", -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct idmap map = {};

		same_int(rows[i].range, idmap_append(&map, rows[i].range), rows[i].r);
		same_int(rows[i].range, map.count, rows[i].r == 0);
		idmap_done(&map);
	}
}

static void test_the_number_of_ranges_is_limited(void **state)
{
	struct idmap map = {};

	(void)state;
	for (int i = 0; i < IDMAP_RANGES_MAX; i++)
		assert_int_equal(idmap_append(&map, "0:1:1"), 0);
	assert_int_equal(idmap_append(&map, "0:1:1"), -E2BIG);
	assert_int_equal(map.count, IDMAP_RANGES_MAX);
	idmap_done(&map);
}

/* On-disk owner C+i is shown as H+i, and an unmapped one as 65534. */
static void test_owners_are_mapped_or_shown_as_overflow(void **state)
{
	static const struct {
		uint32_t id, want;
	} rows[] = {
		{0, 100000},
		{999, 100999},
		{1000, 5},
		{1001, IDMAP_OVERFLOW_ID},
		{1, 100001},
		{65534, 65534},
		{UINT32_MAX, IDMAP_OVERFLOW_ID},
		{4294967294, 7},
	};
	struct idmap map = {};

	(void)state;
	/* An empty map changes nothing. */
	assert_int_equal(idmap_apply(&map, 1234), 1234);
	assert_int_equal(idmap_append(&map, "0:100000:1000"), 0);
	assert_int_equal(idmap_append(&map, "1000:5:1"), 0);
	assert_int_equal(idmap_append(&map, "4294967294:7:1"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(idmap_apply(&map, rows[i].id), rows[i].want);
	idmap_done(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_valid_ranges_are_appended),
		cmocka_unit_test(test_the_number_of_ranges_is_limited),
		cmocka_unit_test(test_owners_are_mapped_or_shown_as_overflow),
	};

	return cmocka_run_group_tests_name("idmap", tests, NULL, NULL);
}
