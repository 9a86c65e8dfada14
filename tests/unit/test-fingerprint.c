/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/view/fingerprint.h"

#include "tests/unit/fixture-view.h"

static uint64_t fingerprint_of(const char *list, const char *binary, const char *initrd)
{
	cleanup_with(options_done) struct options options = OPTIONS_INIT;
	cleanup_with(view_done) struct view view = {};
	cleanup_free char *copy = strdup(list);
	VIEW_ERROR(error);

	assert_non_null(copy);
	same_int(list, options_parse(&options, copy, &error), 0);
	same_int(list, make_view(&view, list, binary, initrd, &error), 0);
	return view_fingerprint(&view, &options);
}

static void test_options_that_show_the_same_have_the_same_fingerprint(void **state)
{
	uint64_t first = fingerprint_of("", "/k", "/i");

	(void)state;
	assert_true(first == fingerprint_of("", "/k", "/i"));
	/* What changes nothing of what is shown. */
	assert_true(first == fingerprint_of("resolve=ready,timeout=3,id=other,ro", "/k", "/i"));
	assert_true(fingerprint_of("uidmap=0:7:9", "/k", NULL) ==
		    fingerprint_of("uidmap=0:7:9", "/k", NULL));
}

static void test_options_that_show_otherwise_have_other_fingerprints(void **state)
{
	static const struct {
		const char *list, *binary, *initrd;
	} rows[] = {
		{"", "/k", "/i"},
		{"", "/k", NULL},
		{"", "/i", "/k"},
		{"", "/k2", "/i"},
		{"uid=1", "/k", "/i"},
		{"gid=1", "/k", "/i"},
		{"mode=0400", "/k", "/i"},
		{"passthrough=off", "/k", "/i"},
		{"uidmap=0:1:1", "/k", "/i"},
		{"gidmap=0:1:1", "/k", "/i"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t one = fingerprint_of(rows[i].list, rows[i].binary, rows[i].initrd);

		for (size_t j = 0; j < i; j++)
			if (one == fingerprint_of(rows[j].list, rows[j].binary, rows[j].initrd))
				fail_msg("rows %zu and %zu are the same", i, j);
	}
}

/* A layer is the directory itself, not its path. */
static void test_a_layer_is_its_directory_and_not_its_path(void **state)
{
	uint64_t first = fingerprint_of("", "/k", NULL);

	(void)state;
	assert_return_code(rename("T", "X"), errno);
	assert_return_code(rename("B", "T"), errno);
	assert_return_code(rename("X", "B"), errno);
	assert_true(first != fingerprint_of("", "/k", NULL));
	assert_return_code(rename("T", "X"), errno);
	assert_true(first != fingerprint_of("", "/k", NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_options_that_show_the_same_have_the_same_fingerprint),
		scratch_test(test_options_that_show_otherwise_have_other_fingerprints),
		scratch_test(test_a_layer_is_its_directory_and_not_its_path),
	};

	return cmocka_run_group_tests_name("fingerprint", tests, NULL, NULL);
}
