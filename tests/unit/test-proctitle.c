/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/live/proctitle.h"

#include "tests/unit/fixture.h"

static void test_a_title_gives_the_ready_line(void **state)
{
	static const char text[] = PROCTITLE_PREFIX "{\"ready\":true,\"id\":\"web-1\"}";

	(void)state;
	/* With the NUL that ends a string of a command line, and without. */
	for (size_t nul = 0; nul <= 1; nul++) {
		size_t n = strlen(text) + nul;
		const char *ready = proctitle_text(text, &n);

		assert_string_equal(ready, "{\"ready\":true,\"id\":\"web-1\"}");
		assert_int_equal(n, strlen(ready));
	}
}

/* Whatever a process may have for a command line. */
static void test_other_command_lines_are_no_titles(void **state)
{
	static const char *const rows[] = {
		"", "u", "urunc-viewfs", "urunc-viewfs:", "x" PROCTITLE_PREFIX, "URUNC-VIEWFS: {}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t nul = 0; nul <= 1; nul++) {
			size_t n = strlen(rows[i]) + nul;

			if (proctitle_text(rows[i], &n))
				fail_msg("'%s' is a title", rows[i]);
		}
}

static size_t read_small(const char *path, char *text, size_t size)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, size - 1);

	assert_true(n >= 0);
	text[n] = '\0';
	return (size_t)n;
}

static void set(const char *id)
{
	cleanup_free char *ready = NULL;

	assert_true(asprintf(&ready, "{\"id\":\"%s\"}", id) > 0);
	proctitle_set(ready);
}

/* A short one after a long one, too; and the process goes on as it was. */
static void test_a_title_may_be_replaced_by_one_of_any_length(void **state)
{
	const char *home = getenv("PATH");
	const char *ids[] = {"a", NULL, "b"};
	char environment[4096], name[32];
	char id[10000] = "";

	(void)state;
	memset(id, 'x', sizeof(id) - 1);
	ids[1] = id;
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		cleanup_free char *expected = NULL;
		static char text[20000];
		const char *ready;
		size_t n;

		set(ids[i]);
		n = read_small("/proc/self/cmdline", text, sizeof(text));
		require(i > 0 || strncmp(text, PROCTITLE_PREFIX, strlen(PROCTITLE_PREFIX)) == 0,
			"this kernel, or what stands in for it, keeps command lines");
		ready = proctitle_text(text, &n);
		assert_non_null(ready);
		assert_true(asprintf(&expected, "{\"id\":\"%s\"}", ids[i]) > 0);
		assert_int_equal(n, strlen(expected));
		assert_memory_equal(ready, expected, n);
	}
	read_small("/proc/self/comm", name, sizeof(name));
	assert_string_equal(name, PROGRAM_NAME "\n");
	assert_ptr_equal(getenv("PATH"), home);
	/* The caller's environment is nobody's business. */
	read_small("/proc/self/environ", environment, sizeof(environment));
	assert_string_equal(environment, "");
	/* The heap still grows and shrinks. */
	for (size_t size = 1000; size < 4 << 20; size *= 2)
		free(calloc(1, size));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_title_gives_the_ready_line),
		cmocka_unit_test(test_other_command_lines_are_no_titles),
		cmocka_unit_test(test_a_title_may_be_replaced_by_one_of_any_length),
	};

	return cmocka_run_group_tests_name("title", tests, NULL, NULL);
}
