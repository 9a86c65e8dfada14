/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/merge/stack.h"

#include <sys/resource.h>

#include "tests/unit/fixture-stack.h"

enum { MANY = 600 }; /* more layers than are kept open */

static void test_a_layer_that_cannot_be_opened_is_named(void **state)
{
	static char *const paths[] = {(char *)"a", (char *)"b", (char *)"missing", (char *)"file"};
	static char *many[LI_LAYERS_MAX + 1];
	struct li_stack *stack = NULL;
	size_t bad = 99;

	(void)state;
	require_root();
	make_dir("a");
	make_dir("b");
	make_file("file", "");
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (char *)"a";
	assert_int_equal(li_stack_open(paths, 0, 0, NULL, &stack, &bad), -EINVAL);
	assert_int_equal(bad, 0);
	assert_int_equal(li_stack_open(many, ARRAY_SIZE(many), 0, NULL, &stack, &bad), -E2BIG);
	assert_int_equal(bad, ARRAY_SIZE(many));
	assert_int_equal(li_stack_open(paths, 3, 0, NULL, &stack, &bad), -ENOENT);
	assert_int_equal(bad, 2);
	assert_int_equal(li_stack_open(paths + 3, 1, 0, NULL, &stack, &bad), -ENOTDIR);
	assert_int_equal(bad, 0);
	/* Outputs are written only on success. */
	assert_null(stack);
	li_stack_close(NULL);
	assert_int_equal(li_stack_open(paths, 2, 0, NULL, &stack, &bad), 0);
	assert_int_equal(li_stack_size(stack), 2);
	assert_string_equal(li_stack_path(stack, 1), "b");
	li_stack_close(stack);
}

static void test_the_most_layers_can_be_opened(void **state)
{
	static char *many[LI_LAYERS_MAX];
	struct li_stack *stack = NULL;
	size_t bad;

	(void)state;
	require_root();
	make_dir("a");
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (char *)"a";
	assert_int_equal(li_stack_open(many, ARRAY_SIZE(many), 0, NULL, &stack, &bad), 0);
	li_stack_close(stack);
}

/* The user's own privilege is enough for user.overlay.* marks, and not for trusted ones. */
static int in_user_namespace(void)
{
	char *const paths[] = {(char *)"a"};
	struct li_stack *stack;
	size_t bad = 99;

	if (unshare(CLONE_NEWUSER) < 0)
		return 77;
	if (li_stack_open(paths, 1, 0, NULL, &stack, &bad) != -EPERM || bad != 1)
		return 1;
	if (li_stack_open(paths, 1, LI_STACK_USERXATTR, NULL, &stack, &bad) != 0)
		return 2;
	li_stack_close(stack);
	return 0;
}

static void test_marks_must_be_visible(void **state)
{
	int r;

	(void)state;
	make_dir("a");
	assert_return_code(chmod(".", 0755), errno);
	r = in_child(in_user_namespace);
	require(r != 77, "no user namespaces here");
	assert_int_equal(r, 0);
}

static size_t count_descriptors(void)
{
	DIR *stream = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(stream);
	while (readdir(stream))
		n++;
	closedir(stream);
	return n;
}

static void open_many(struct li_stack **ret)
{
	static char names[MANY][16];
	char *paths[MANY];
	size_t bad;

	for (size_t i = 0; i < MANY; i++) {
		paths[i] = names[i];
		snprintf(names[i], sizeof(names[i]), "%zu", i);
		make_dir(names[i]);
	}
	make_file("599/d/bottom", "");
	make_file("50/d/middle", "");
	same_int("many layers", li_stack_open(paths, MANY, 0, NULL, ret, &bad), 0);
}

static void look_in_many(struct li_stack *stack)
{
	struct cursor at;

	assert_int_equal(cursor_init(&at, li_stack_size(stack)), 0);
	assert_string_equal(look(stack, &at, "missing"), "ENOENT");
	cursor_done(&at);
	assert_int_equal(cursor_init(&at, li_stack_size(stack)), 0);
	assert_string_equal(look(stack, &at, "d"), "50 directory");
	assert_string_equal(look(stack, &at, "bottom"), "599 leaf");
	assert_string_equal(look(stack, &at, "middle"), "50 leaf");
	cursor_done(&at);
}

static void test_the_number_of_open_layers_is_limited(void **state)
{
	size_t before = count_descriptors();
	struct li_stack *stack = NULL;

	(void)state;
	require_root();
	open_many(&stack);
	assert_int_equal(count_descriptors(), before + LI_OPEN_LAYERS);
	look_in_many(stack);
	assert_int_equal(count_descriptors(), before + LI_OPEN_LAYERS);
	li_stack_close(stack);
	assert_int_equal(count_descriptors(), before);
}

/* Where the process has few descriptors to give, the layers take turns. */
static void test_layers_take_turns_when_descriptors_are_few(void **state)
{
	cleanup_close int last = dup(STDIN_FILENO);
	struct rlimit limit, low;
	struct li_stack *stack = NULL;

	(void)state;
	require_root();
	assert_return_code(last, errno);
	assert_return_code(getrlimit(RLIMIT_NOFILE, &limit), errno);
	low = limit;
	low.rlim_cur = (rlim_t)last + 5;
	assert_return_code(setrlimit(RLIMIT_NOFILE, &low), errno);
	open_many(&stack);
	look_in_many(stack);
	look_in_many(stack);
	li_stack_close(stack);
	assert_return_code(setrlimit(RLIMIT_NOFILE, &limit), errno);
}

/* A layer that was changed underfoot, once it has to be opened anew. */
static void test_a_replaced_layer_is_estale(void **state)
{
	struct li_stack *stack = NULL;
	struct cursor at;

	(void)state;
	require_root();
	open_many(&stack);
	assert_return_code(rename("580", "moved"), errno);
	assert_int_equal(cursor_init(&at, li_stack_size(stack)), 0);
	assert_string_equal(look(stack, &at, "missing"), "ESTALE");
	cursor_done(&at);
	make_dir("580");
	assert_int_equal(cursor_init(&at, li_stack_size(stack)), 0);
	assert_string_equal(look(stack, &at, "missing"), "ESTALE");
	cursor_done(&at);
	li_stack_close(stack);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_a_layer_that_cannot_be_opened_is_named),
		scratch_test(test_the_most_layers_can_be_opened),
		scratch_test(test_marks_must_be_visible),
		scratch_test(test_the_number_of_open_layers_is_limited),
		scratch_test(test_layers_take_turns_when_descriptors_are_few),
		scratch_test(test_a_replaced_layer_is_estale),
	};

	return cmocka_run_group_tests_name("stack", tests, NULL, NULL);
}
