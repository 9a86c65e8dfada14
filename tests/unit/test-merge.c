/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/merge/merge.h"

#include "tests/unit/fixture-stack.h"

/* Down and up again: the parent is the merged directory, with all its layers. */
static void test_a_cursor_returns_to_the_merged_parent(void **state)
{
	struct li_stack *stack;
	struct cursor at;
	struct entry entry = ENTRY_INIT;

	(void)state;
	make_file("0/d/e/top", "");
	make_file("1/d/middle", "");
	make_file("2/d/e/bottom", "");
	stack = open_stack(3, "0", "1", "2");
	assert_int_equal(cursor_init(&at, li_stack_size(stack)), 0);
	assert_string_equal(look(stack, &at, "d"), "0 directory");
	assert_string_equal(at.path, "d");
	assert_string_equal(look(stack, &at, "middle"), "1 leaf");
	/* A leaf does not move the position. */
	assert_string_equal(at.path, "d");
	assert_string_equal(look(stack, &at, "e"), "0 directory");
	assert_string_equal(look(stack, &at, "bottom"), "2 leaf");
	assert_string_equal(at.path, "d/e");
	cursor_parent(&at);
	assert_string_equal(at.path, "d");
	assert_string_equal(look(stack, &at, "middle"), "1 leaf");
	cursor_parent(&at);
	cursor_parent(&at); /* the root's parent is the root */
	assert_string_equal(at.path, "");
	assert_string_equal(look(stack, &at, "d"), "0 directory");
	cursor_root(&at);
	assert_int_equal(merge_self(stack, &at, &entry), 0);
	assert_int_equal(entry.layer, 0);
	assert_true(S_ISDIR(entry.st.st_mode));
	entry_done(&entry);
	cursor_done(&at);
	li_stack_close(stack);
}

/* Never deeper than the layers of the parent: what hides a parent hides all that is beneath. */
static void test_a_directory_is_no_deeper_than_its_parents_layers(void **state)
{
	static const struct {
		const char *first, *second, *want;
	} rows[] = {
		{"sandwich", "t", "0 leaf"}, {"sandwich", "b", "ENOENT"}, {"opaque", "m", "1 leaf"},
		{"opaque", "b", "ENOENT"},   {"file", "b", "ENOENT"},
	};
	struct li_stack *stack;

	(void)state;
	require_root();
	make_file("0/sandwich/t", "");
	make_dir("0/opaque");
	make_file("0/file/t", "");
	make_dir("1");
	make_whiteout("1/sandwich");
	make_file("1/opaque/m", "");
	make_mark("1/opaque", "trusted.overlay.opaque", "y", 1);
	make_file("1/file", "");
	make_file("2/sandwich/b", "");
	make_file("2/opaque/b", "");
	make_file("2/file/b", "");
	stack = open_stack(3, "0", "1", "2");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct cursor at;

		assert_int_equal(cursor_init(&at, li_stack_size(stack)), 0);
		same_str(rows[i].first, look(stack, &at, rows[i].first), "0 directory");
		same_str(rows[i].second, look(stack, &at, rows[i].second), rows[i].want);
		cursor_done(&at);
	}
	li_stack_close(stack);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_a_cursor_returns_to_the_merged_parent),
		scratch_test(test_a_directory_is_no_deeper_than_its_parents_layers),
	};

	return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}
