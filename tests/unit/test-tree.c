/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/blob/tree.h"

#include "tests/unit/fixture.h"

static void add_names(struct tree *tree, int count, int expected)
{
	uint32_t name;

	for (int i = 0; i < count; i++) {
		char text[16];
		int n = snprintf(text, sizeof(text), "%d", i);

		assert_int_equal(tree_name(tree, TREE_ROOT, text, (size_t)n, &name), 0);
	}
	assert_int_equal(tree_name(tree, TREE_ROOT, "more", 4, &name), expected);
}

static void test_a_tree_has_at_most_so_many_names(void **state)
{
	struct tree tree = {};

	(void)state;
	assert_int_equal(tree_init(&tree, false), 0);
	assert_int_equal(tree.names_max, TREE_NAMES_MAX);
	assert_int_equal(tree.files_max, TREE_NAMES_MAX);
	/* Twenty million take too long. The root is one. */
	tree.names_max = 1001;
	add_names(&tree, 1000, -E2BIG);
	tree_done(&tree);
}

static void test_a_partial_tree_has_fewer_names(void **state)
{
	struct tree tree = {};

	(void)state;
	assert_int_equal(tree_init(&tree, true), 0);
	add_names(&tree, TREE_PARTIAL_NAMES_MAX - 1, -E2BIG);
	tree_done(&tree);
}

static void test_the_texts_of_a_partial_tree_are_bounded(void **state)
{
	static char text[TREE_PARTIAL_TEXTS_MAX / 4];
	struct tree tree = {};
	uint32_t name;

	(void)state;
	assert_int_equal(tree_init(&tree, true), 0);
	memset(text, 'x', sizeof(text));
	for (size_t i = 1; i <= 4; i++)
		assert_int_equal(tree_name(&tree, TREE_ROOT, text, sizeof(text) - i, &name), 0);
	assert_int_equal(tree_name(&tree, TREE_ROOT, text, 10, &name), -E2BIG);
	tree_done(&tree);
}

static void test_a_tree_makes_at_most_so_many_files(void **state)
{
	const struct tree_file file = {.type = TREE_FILE};
	struct tree tree = {};
	uint32_t name;

	(void)state;
	assert_int_equal(tree_init(&tree, false), 0);
	tree.files_max = 100;
	assert_int_equal(tree_name(&tree, TREE_ROOT, "k", 1, &name), 0);
	/* One that is replaced counts, as does the root. */
	for (int i = 1; i < 100; i++)
		assert_int_equal(tree_make(&tree, name, &file), 0);
	assert_int_equal(tree_make(&tree, name, &file), -E2BIG);
	tree_done(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_tree_has_at_most_so_many_names),
		cmocka_unit_test(test_a_partial_tree_has_fewer_names),
		cmocka_unit_test(test_the_texts_of_a_partial_tree_are_bounded),
		cmocka_unit_test(test_a_tree_makes_at_most_so_many_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
