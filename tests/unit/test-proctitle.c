/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/live/proctitle.h"

#include "fuse/base/json.h"
#include "tests/unit/fixture.h"

#define FACTS "\"view\":{\"device\":\"0:57\",\"layers\":20,\"sandboxed\":\"5f\"}"

static void test_a_title_gives_the_facts_of_the_view(void **state)
{
	static const char text[] = PROCTITLE_PREFIX "{\"ready\":true,\"id\":\"web-1\"," FACTS "}";
	cleanup_with(json_done) struct json_object *ready = NULL;
	cleanup_free char *line = NULL;
	struct proctitle title;

	(void)state;
	assert_int_equal(proctitle_parse(text, sizeof(text), &title, &ready), 0);
	assert_int_equal(title.device, makedev(0, 57));
	assert_int_equal(title.layers, 20);
	/* What is left is the ready line. */
	line = json_line(ready);
	assert_string_equal(line, "{\"ready\":true,\"id\":\"web-1\"}");
}

/* Whatever a process may have for a command line. */
static void test_other_command_lines_are_no_titles(void **state)
{
	static const char *const rows[] = {
		"",
		"urunc-viewfs",
		"urunc-viewfs:",
		PROCTITLE_PREFIX,
		PROCTITLE_PREFIX "x",
		PROCTITLE_PREFIX "[]",
		PROCTITLE_PREFIX "{}",
		PROCTITLE_PREFIX "{\"view\":1}",
		PROCTITLE_PREFIX "{" FACTS,
		"x" PROCTITLE_PREFIX "{" FACTS "}",
		PROCTITLE_PREFIX "{" FACTS "} x",
		PROCTITLE_PREFIX "{\"view\":{\"device\":\"0\",\"layers\":1,\"sandboxed\":\"00\"}}",
		PROCTITLE_PREFIX "{\"view\":{\"device\":7,\"layers\":1,\"sandboxed\":\"00\"}}",
		PROCTITLE_PREFIX
		"{\"view\":{\"device\":\"0:1\",\"layers\":\"1\",\"sandboxed\":\"00\"}}",
		PROCTITLE_PREFIX "{\"view\":{\"device\":\"0:1\",\"layers\":1}}",
		PROCTITLE_PREFIX
		"{\"view\":{\"device\":\"0:1\",\"layers\":1,\"sandboxed\":\"7f0\"}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct json_object *ready = NULL;
		struct proctitle title;

		/* With the NUL that ends a string of a command line, and without. */
		for (size_t nul = 0; nul <= 1; nul++)
			same_int(rows[i],
				 proctitle_parse(rows[i], strlen(rows[i]) + nul, &title, &ready),
				 -EINVAL);
		assert_null(ready);
	}
}

/* Two arguments are no title, even where they look like one together. */
static void test_two_arguments_are_no_title(void **state)
{
	static const char text[] = PROCTITLE_PREFIX "{" FACTS "\0}";
	struct json_object *ready = NULL;
	struct proctitle title;

	(void)state;
	assert_int_equal(proctitle_parse(text, sizeof(text), &title, &ready), -EINVAL);
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
	const struct proctitle title = {.device = makedev(1, 2), .layers = 3};
	cleanup_free char *ready = NULL;

	assert_true(asprintf(&ready, "{\"id\":\"%s\"}", id) > 0);
	proctitle_set(ready, &title);
}

/* A short one after a long one, too; and the process goes on as it was. */
static void test_a_title_may_be_replaced_by_one_of_any_length(void **state)
{
	const char *home = getenv("PATH");
	const char *ids[] = {"a", NULL, "b"};
	static const unsigned sandboxed[] = {0, 0x7f, 1};
	char environment[4096], name[32];
	char id[10000] = "";

	(void)state;
	memset(id, 'x', sizeof(id) - 1);
	ids[1] = id;
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		cleanup_with(json_done) struct json_object *ready = NULL;
		static char text[20000];
		struct proctitle title;
		size_t n;

		set(ids[i]);
		if (sandboxed[i])
			proctitle_sandboxed(sandboxed[i]);
		n = read_small("/proc/self/cmdline", text, sizeof(text));
		require(i > 0 || strncmp(text, PROCTITLE_PREFIX, strlen(PROCTITLE_PREFIX)) == 0,
			"this kernel, or what stands in for it, keeps command lines");
		assert_int_equal(proctitle_parse(text, n, &title, &ready), 0);
		assert_string_equal(json_string(ready, "id"), ids[i]);
		assert_int_equal(title.device, makedev(1, 2));
		assert_int_equal(title.layers, 3);
		assert_int_equal(title.sandboxed, sandboxed[i]);
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
		cmocka_unit_test(test_a_title_gives_the_facts_of_the_view),
		cmocka_unit_test(test_other_command_lines_are_no_titles),
		cmocka_unit_test(test_two_arguments_are_no_title),
		cmocka_unit_test(test_a_title_may_be_replaced_by_one_of_any_length),
	};

	return cmocka_run_group_tests_name("title", tests, NULL, NULL);
}
