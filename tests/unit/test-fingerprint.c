/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/view/fingerprint.h"

#include "tests/unit/fixture-index.h"
#include "tests/unit/fixture-view.h"

struct fingerprint {
	char text[FINGERPRINT_SIZE];
};

static struct fingerprint fingerprint_of(const char *list, const char *binary, const char *initrd)
{
	cleanup_with(options_done) struct options options = OPTIONS_INIT;
	cleanup_with(view_done) struct view view = {};
	cleanup_free char *copy = strdup(list);
	struct fingerprint fingerprint;
	VIEW_ERROR(error);

	assert_non_null(copy);
	same_int(list, options_parse(&options, copy, &error), 0);
	same_int(list, make_view(&view, list, binary, initrd, &error), 0);
	view_fingerprint(&view, &options, fingerprint.text);
	assert_int_equal(strlen(fingerprint.text), FINGERPRINT_SIZE - 1);
	return fingerprint;
}

static bool is_same(struct fingerprint a, struct fingerprint b)
{
	return strcmp(a.text, b.text) == 0;
}

static void test_options_that_show_the_same_have_the_same_fingerprint(void **state)
{
	struct fingerprint first = fingerprint_of("", "/k", "/i");

	(void)state;
	assert_true(is_same(first, fingerprint_of("", "/k", "/i")));
	/* What changes nothing of what is shown. */
	assert_true(is_same(first, fingerprint_of("resolve=ready,timeout=3,ro,passthrough=off,"
						  "sandbox=require",
						  "/k", "/i")));
	assert_true(is_same(fingerprint_of("uidmap=0:7:9", "/k", NULL),
			    fingerprint_of("uidmap=0:7:9", "/k", NULL)));
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
		{"uidmap=0:1:1", "/k", "/i"},
		{"gidmap=0:1:1", "/k", "/i"},
		{"userxattr", "/k", "/i"},
		{"decode=auto", "/k", "/i"},
		/* Ids that are shown alike, and parts that are the same bytes together. */
		{"id=a", "/k", "/i"},
		{"id=a\033", "/k", "/i"},
		{"id=a\\\\033", "/k", "/i"},
		{"id=a", "/ki", NULL},
		{"id=a/k", "/i", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct fingerprint one =
			fingerprint_of(rows[i].list, rows[i].binary, rows[i].initrd);

		for (size_t j = 0; j < i; j++)
			if (is_same(one,
				    fingerprint_of(rows[j].list, rows[j].binary, rows[j].initrd)))
				fail_msg("rows %zu and %zu are the same", i, j);
	}
}

/* A layer is the directory itself, not its path. */
static void test_a_layer_is_its_directory_and_not_its_path(void **state)
{
	struct fingerprint first = fingerprint_of("", "/k", NULL);

	(void)state;
	assert_return_code(rename("T", "X"), errno);
	assert_return_code(rename("B", "T"), errno);
	assert_return_code(rename("X", "B"), errno);
	assert_false(is_same(first, fingerprint_of("", "/k", NULL)));
	assert_return_code(rename("T", "X"), errno);
	assert_false(is_same(first, fingerprint_of("", "/k", NULL)));
}

/* Also where nothing else of it can be told: its change. */
static void test_a_layer_that_got_another_name_in_it_is_another_layer(void **state)
{
	struct fingerprint first = fingerprint_of("", "/k", NULL);

	(void)state;
	wait_tick();
	make_file("T/new", "");
	assert_false(is_same(first, fingerprint_of("", "/k", NULL)));
}

static struct fingerprint fingerprint_of_chain(uint8_t number, const char *path)
{
	struct options options = OPTIONS_INIT;
	struct view view = {
		.image.key = {.id = {{number}}},
		.artifact_count = 1,
		.artifacts = {{.path = (char *)path, .roles = ROLE_BINARY}},
	};
	struct fingerprint fingerprint = {};

	view_fingerprint(&view, &options, fingerprint.text);
	return fingerprint;
}

static void test_a_stored_image_is_known_by_its_chain_id(void **state)
{
	struct fingerprint first = fingerprint_of_chain(1, "/k");

	(void)state;
	assert_true(is_same(first, fingerprint_of_chain(1, "/k")));
	assert_false(is_same(first, fingerprint_of_chain(2, "/k")));
	assert_false(is_same(first, fingerprint_of_chain(1, "/other")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_stored_image_is_known_by_its_chain_id),
		scratch_test(test_options_that_show_the_same_have_the_same_fingerprint),
		scratch_test(test_options_that_show_otherwise_have_other_fingerprints),
		scratch_test(test_a_layer_is_its_directory_and_not_its_path),
		scratch_test(test_a_layer_that_got_another_name_in_it_is_another_layer),
	};

	return cmocka_run_group_tests_name("fingerprint", tests, NULL, NULL);
}
