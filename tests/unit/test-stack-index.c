/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/merge/stack-index.h"

#include "tests/unit/fixture-index.h"
#include "tests/unit/fixture-stack.h"

static struct li_index *open_index(void)
{
	struct li_index *index = NULL;

	require_root();
	require_identities();
	assert_int_equal(li_index_open("index", 1, &index), 0);
	assert_int_equal(li_index_make(index), 0);
	return index;
}

/* "LAYER CONTENT" of a file, or the error. */
static const char *read_file(struct li_stack *stack, const char *path)
{
	struct li_file file = LI_FILE_INIT;
	cleanup_close int fd = -EBADF;
	static char text[80];
	int r = li_resolve(stack, path, 0, &file);

	if (r < 0)
		return strerrorname_np(-r);
	fd = li_file_open(&file);
	assert_true(fd >= 0);
	snprintf(text, sizeof(text), "%zu %s", file.layer, content_of(fd));
	li_file_done(&file);
	return text;
}

static void learn(struct li_stack *stack)
{
	read_file(stack, "d/kernel");
	read_file(stack, "missing");
	assert_int_equal(li_stack_publish(stack), 0);
	li_stack_close(stack);
}

static void make_layers(void)
{
	make_dir("l/top");
	make_dir("l/other");
	make_file("l/middle/d/kernel", "kernel");
	make_file("l/bottom/d/kernel", "hidden");
	wait_tick();
}

static void test_the_same_layers_are_known(void **state)
{
	struct li_index *index = open_index();
	struct li_stack *stack;

	(void)state;
	make_layers();
	stack = open_indexed(index, 0, 3, "l/top", "l/middle", "l/bottom");
	assert_int_equal(stack->known, 3);
	learn(stack);
	stack = open_indexed(index, 0, 3, "l/top", "l/middle", "l/bottom");
	assert_int_equal(stack->known, 0);
	assert_int_equal(stack->open, 0);
	assert_string_equal(read_file(stack, "d/kernel"), "1 kernel");
	assert_string_equal(read_file(stack, "missing"), "ENOENT");
	assert_int_equal(stack->known, 0);
	/* About what nobody asked for before, all layers are asked. */
	assert_string_equal(read_file(stack, "d/other"), "ENOENT");
	assert_int_equal(stack->known, 3);
	assert_int_equal(li_stack_publish(stack), 0);
	li_stack_close(stack);
	/* And what was known before is known still. */
	stack = open_indexed(index, 0, 3, "l/top", "l/middle", "l/bottom");
	assert_string_equal(read_file(stack, "d/other"), "ENOENT");
	assert_string_equal(read_file(stack, "d/kernel"), "1 kernel");
	assert_string_equal(read_file(stack, "missing"), "ENOENT");
	assert_int_equal(stack->known, 0);
	li_stack_close(stack);
	li_index_close(index);
}

static void test_a_shared_base_is_known(void **state)
{
	struct li_index *index = open_index();
	struct li_stack *stack;

	(void)state;
	make_layers();
	learn(open_indexed(index, 0, 3, "l/top", "l/middle", "l/bottom"));
	stack = open_indexed(index, 0, 4, "l/other", "l/top", "l/middle", "l/bottom");
	assert_int_equal(stack->known, 1);
	assert_string_equal(read_file(stack, "d/kernel"), "2 kernel");
	learn(stack);
	stack = open_indexed(index, 0, 4, "l/other", "l/top", "l/middle", "l/bottom");
	assert_int_equal(stack->known, 0);
	assert_string_equal(read_file(stack, "d/kernel"), "2 kernel");
	li_stack_close(stack);
	stack = open_indexed(index, 0, 2, "l/other", "l/bottom");
	assert_string_equal(read_file(stack, "d/kernel"), "1 hidden");
	li_stack_close(stack);
	li_index_close(index);
}

/* Wherever the layers lie, and however that is written, they are what their paths lead to. */
static void test_a_known_layer_may_be_written_in_any_way(void **state)
{
	static const struct {
		const char *top, *bottom;
	} rows[] = {
		{"l/top", "l/middle"},	  {"l//top", "l/middle"}, {"l/top", "l///middle"},
		{"l/top/", "l//middle/"}, {"l/", "l/middle"},	  {"l//", "l/middle"},
		{"./l/top", "l/middle"},
	};
	struct li_index *index = open_index();
	struct li_stack *stack;
	char here[64];

	(void)state;
	make_layers();
	assert_non_null(getcwd(here, sizeof(here)));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *top, *bottom;
		struct stat st;

		assert_true(asprintf(&top, "%s/%s", here, rows[i].top) > 0);
		assert_true(asprintf(&bottom, "%s/%s", here, rows[i].bottom) > 0);
		stack = open_indexed(index, 0, 2, top, bottom);
		assert_non_null(stack->index);
		assert_return_code(stat(top, &st), errno);
		same_int(rows[i].top, stack->layers[0].root.inode, st.st_ino);
		assert_return_code(stat(bottom, &st), errno);
		same_int(rows[i].bottom, stack->layers[1].root.inode, st.st_ino);
		li_stack_close(stack);
		free(top);
		free(bottom);
	}
	li_index_close(index);
}

/* Two directories with one name, of which one lies where a path without its slash would lead. */
static void test_a_path_without_a_directory_of_its_own_is_as_it_was_given(void **state)
{
	struct li_index *index = open_index();
	struct li_stack *stack;
	char here[64], *top;
	struct stat st;

	(void)state;
	make_layers();
	make_file("l/top/name", "here");
	assert_non_null(getcwd(here, sizeof(here)));
	assert_true(asprintf(&top, "%s/l/top", here) > 0);
	make_dir(top + 1);
	assert_return_code(stat(top, &st), errno);
	/* A layer that is one directory, and layers that no directory has in common. */
	for (size_t n = 1; n <= 2; n++) {
		stack = open_indexed(index, 0, n, top, "l/middle");
		assert_non_null(stack->index);
		assert_int_equal(stack->layers[0].root.inode, st.st_ino);
		assert_string_equal(read_file(stack, "name"), "0 here");
		li_stack_close(stack);
	}
	free(top);
	li_index_close(index);
}

/* A file that is not the one that it was is looked for afresh, and the next view knows that. */
static void test_a_changed_file_is_looked_for_afresh(void **state)
{
	struct li_index *index = open_index();
	struct li_stack *stack;

	(void)state;
	make_layers();
	learn(open_indexed(index, 0, 3, "l/top", "l/middle", "l/bottom"));
	make_file("l/middle/d/kernel", "another");
	stack = open_indexed(index, 0, 3, "l/top", "l/middle", "l/bottom");
	assert_int_equal(stack->known, 0);
	assert_string_equal(read_file(stack, "d/kernel"), "1 another");
	assert_int_equal(stack->known, 3);
	learn(stack);
	assert_return_code(unlink("l/middle/d/kernel"), errno);
	stack = open_indexed(index, 0, 3, "l/top", "l/middle", "l/bottom");
	assert_int_equal(stack->known, 0);
	assert_string_equal(read_file(stack, "d/kernel"), "2 hidden");
	learn(stack);
	stack = open_indexed(index, 0, 3, "l/top", "l/middle", "l/bottom");
	assert_string_equal(read_file(stack, "d/kernel"), "2 hidden");
	assert_int_equal(stack->known, 0);
	li_stack_close(stack);
	li_index_close(index);
}

/* A layer that is not the one that it was. */
static void test_a_replaced_layer_is_not_known(void **state)
{
	struct li_index *index = open_index();
	struct li_stack *stack;

	(void)state;
	make_layers();
	learn(open_indexed(index, 0, 3, "l/top", "l/middle", "l/bottom"));
	assert_return_code(rename("l/middle", "l/moved"), errno);
	make_file("l/middle/missing", "here");
	stack = open_indexed(index, 0, 3, "l/top", "l/middle", "l/bottom");
	/* The bottom layer is as it was, and what is known of it holds. */
	assert_int_equal(stack->known, 2);
	assert_string_equal(read_file(stack, "d/kernel"), "2 hidden");
	assert_string_equal(read_file(stack, "missing"), "1 here");
	li_stack_close(stack);
	li_index_close(index);
}

static void test_a_damaged_entry_is_reported_and_replaced(void **state)
{
	struct li_index *index = open_index();
	struct li_stack *stack;
	char name[CHAIN_KEY_NAME + 1], path[64];

	(void)state;
	make_layers();
	stack = open_indexed(index, 0, 2, "l/middle", "l/bottom");
	chain_key_name(&stack->index->keys[0], name);
	snprintf(path, sizeof(path), "index/%s", name);
	assert_null(li_stack_damaged_entry(stack));
	learn(stack);
	make_file(path, "damaged");
	stack = open_indexed(index, 0, 2, "l/middle", "l/bottom");
	assert_string_equal(li_stack_damaged_entry(stack), name);
	assert_string_equal(read_file(stack, "d/kernel"), "0 kernel");
	learn(stack);
	stack = open_indexed(index, 0, 2, "l/middle", "l/bottom");
	assert_null(li_stack_damaged_entry(stack));
	assert_int_equal(stack->known, 0);
	li_stack_close(stack);
	li_index_close(index);
}

/* It is replaced, and nothing is said of it. */
static void test_an_entry_of_another_version_is_replaced_silently(void **state)
{
	struct li_index *index = open_index();
	struct li_stack *stack;
	char name[CHAIN_KEY_NAME + 1], path[64];

	(void)state;
	make_layers();
	stack = open_indexed(index, 0, 2, "l/middle", "l/bottom");
	chain_key_name(&stack->index->keys[0], name);
	snprintf(path, sizeof(path), "index/%s", name);
	learn(stack);
	make_file(path, "UVFX\1");
	assert_return_code(truncate(path, 200), errno);
	stack = open_indexed(index, 0, 2, "l/middle", "l/bottom");
	assert_null(li_stack_damaged_entry(stack));
	/* The layer below has an entry of its own. */
	assert_int_equal(stack->known, 1);
	assert_string_equal(read_file(stack, "d/kernel"), "0 kernel");
	learn(stack);
	stack = open_indexed(index, 0, 2, "l/middle", "l/bottom");
	assert_int_equal(stack->known, 0);
	li_stack_close(stack);
	li_index_close(index);
}

/* Should a layer change once more in the tick in which it was looked at, nobody could tell. */
static void test_a_layer_changed_in_this_tick_is_not_indexed(void **state)
{
	struct timespec before, after;
	struct li_index *index = open_index();
	struct li_stack *stack;

	(void)state;
	make_layers();
	do {
		(void)rmdir("l/middle/new");
		clock_gettime(CLOCK_REALTIME_COARSE, &before);
		make_dir("l/middle/new");
		stack = open_indexed(index, 0, 2, "l/middle", "l/bottom");
		clock_gettime(CLOCK_REALTIME_COARSE, &after);
		learn(stack);
	} while (memcmp(&before, &after, sizeof(before)) != 0);
	wait_tick();
	stack = open_indexed(index, 0, 2, "l/middle", "l/bottom");
	assert_int_equal(stack->known, 2);
	learn(stack);
	stack = open_indexed(index, 0, 2, "l/middle", "l/bottom");
	assert_int_equal(stack->known, 0);
	li_stack_close(stack);
	li_index_close(index);
}

/* Somebody else's layers, where only root's and one's own will do. */
static void test_layers_of_other_users_are_not_indexed_when_own_is_asked(void **state)
{
	struct li_index *index = open_index();
	struct li_stack *stack;

	(void)state;
	make_layers();
	stack = open_indexed(index, LI_STACK_INDEX_OWN, 2, "l/middle", "l/bottom");
	assert_non_null(stack->index);
	li_stack_close(stack);
	assert_return_code(chown("l/bottom", 1, 1), errno);
	stack = open_indexed(index, LI_STACK_INDEX_OWN, 2, "l/middle", "l/bottom");
	assert_null(stack->index);
	li_stack_close(stack);
	stack = open_indexed(index, 0, 2, "l/middle", "l/bottom");
	assert_non_null(stack->index);
	li_stack_close(stack);
	li_index_close(index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_the_same_layers_are_known),
		scratch_test(test_a_shared_base_is_known),
		scratch_test(test_a_known_layer_may_be_written_in_any_way),
		scratch_test(test_a_path_without_a_directory_of_its_own_is_as_it_was_given),
		scratch_test(test_a_changed_file_is_looked_for_afresh),
		scratch_test(test_a_replaced_layer_is_not_known),
		scratch_test(test_a_damaged_entry_is_reported_and_replaced),
		scratch_test(test_an_entry_of_another_version_is_replaced_silently),
		scratch_test(test_a_layer_changed_in_this_tick_is_not_indexed),
		scratch_test(test_layers_of_other_users_are_not_indexed_when_own_is_asked),
	};

	return cmocka_run_group_tests_name("stack-index", tests, NULL, NULL);
}
