/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/error.h"

#include "fuse/base/messages.h"
#include "fuse/base/text.h"
#include "tests/unit/fixture.h"

/* The contract: 0 ready, 1 EUSAGE, 2 ESYSTEM, 4 a bug of ours, 32 every other code. */
static void test_each_code_has_its_name_and_exit_status(void **state)
{
	static const struct {
		enum view_code code;
		const char *name;
		int exit;
	} rows[] = {
		{CODE_EUSAGE, "EUSAGE", 1},
		{CODE_ENOTAPPLICABLE, "ENOTAPPLICABLE", 32},
		{CODE_ELAYER, "ELAYER", 32},
		{CODE_ECONFIG, "ECONFIG", 32},
		{CODE_ENOARTIFACT, "ENOARTIFACT", 32},
		{CODE_EARTIFACT, "EARTIFACT", 32},
		{CODE_EMOUNT, "EMOUNT", 32},
		{CODE_ESYSTEM, "ESYSTEM", 2},
		/* No code of its own: a caller can do no more about it. */
		{CODE_BUG, "ESYSTEM", 4},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		same_str(rows[i].name, view_code_name(rows[i].code), rows[i].name);
		same_int(rows[i].name, view_code_exit(rows[i].code), rows[i].exit);
	}
	assert_int_equal(view_code_exit(CODE_NONE), 0);
}

/* A message can be shown on a terminal and put into JSON, whatever bytes a path has. */
static void test_messages_are_printable(void **state)
{
	static const struct {
		const char *path, *want;
	} rows[] = {
		{"/x/y", "layer 3 '/x/y': No such file or directory"},
		{"/sp ace/gr\xc3\xbc\xc3\x9f",
		 "layer 3 '/sp ace/gr\xc3\xbc\xc3\x9f': No such file or directory"},
		{"/a\nb\x1b[2J", "layer 3 '/a\\012b\\033[2J': No such file or directory"},
		{"/\xff\xfe", "layer 3 '/\\377\\376': No such file or directory"},
		{"/\xc2\x9b", "layer 3 '/\\302\\233': No such file or directory"},
		{"/%s%n", "layer 3 '/%s%n': No such file or directory"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		VIEW_ERROR(error);

		same_int(rows[i].want,
			 view_fail(&error, MSG_LAYER, (size_t)3, rows[i].path, strerror(ENOENT)),
			 -ECANCELED);
		same_int(rows[i].want, error.code, CODE_ELAYER);
		same_str(rows[i].want, error.message, rows[i].want);
	}
}

static void test_the_first_cause_is_kept(void **state)
{
	VIEW_ERROR(error);

	(void)state;
	assert_int_equal(view_fail(&error, MSG_NO_SOURCE), -ECANCELED);
	assert_int_equal(view_fail(&error, MSG_NO_PROC), -ECANCELED);
	assert_int_equal(error.code, CODE_EUSAGE);
	assert_string_equal(error.message, "SOURCE and MOUNTPOINT are missing");
	/* Thrown away, it can be filled again. */
	error.code = CODE_NONE;
	view_fail(&error, MSG_NO_PROC);
	assert_int_equal(error.code, CODE_ESYSTEM);
	assert_string_equal(error.message, "/proc is not mounted");
}

/* What is too long is cut, and still printable. */
static void test_a_long_message_is_cut(void **state)
{
	static char path[3 * MESSAGE_SIZE];

	(void)state;
	for (int c = 0; c < 2; c++) {
		VIEW_ERROR(error);

		memset(path, c == 0 ? 'p' : '\xff', sizeof(path) - 1);
		view_fail(&error, MSG_LAYER, (size_t)3, path, "why");
		assert_true(strlen(error.message) < MESSAGE_SIZE);
		assert_true(strlen(error.message) > MESSAGE_SIZE - 8);
		has_str("cut", error.message, c == 0 ? "layer 3 'pp" : "layer 3 '\\377\\377");
		assert_true(utf8_is_valid(error.message, strlen(error.message)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_code_has_its_name_and_exit_status),
		cmocka_unit_test(test_messages_are_printable),
		cmocka_unit_test(test_the_first_cause_is_kept),
		cmocka_unit_test(test_a_long_message_is_cut),
	};

	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
