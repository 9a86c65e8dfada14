/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/cli/arguments.h"

#include "tests/unit/fixture-view.h"

enum { WORDS_MAX = 12 };

#define CHAIN "--chain=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Parses PROGRAM and *words*, which a NULL ends; the strings are borrowed by *arguments*. */
static int parse(const char *const words[], enum arguments_for what, struct arguments *arguments,
		 struct view_error *error)
{
	char *argv[WORDS_MAX + 2] = {(char *)"program"};
	int argc = 1;

	for (; words[argc - 1]; argc++)
		argv[argc] = (char *)words[argc - 1];
	return arguments_parse(arguments, argc, argv, what, error);
}

static void test_bad_arguments_are_named(void **state)
{
	static const struct {
		const char *words[WORDS_MAX];
		const char *message; /* NULL: fine */
	} rows[] = {
		{{"src", "dir"}, NULL},
		/* In any order, as mount.fuse3 and people type it. */
		{{"src", "dir", "-o", "ro", "-f"}, NULL},
		{{"-f", "-o", "ro", "src", "dir"}, NULL},
		{{"src", "-f", "dir", "-oro", "--id=x"}, NULL},
		{{"--", "-src", "-dir"}, NULL},
		/* Operands. */
		{{NULL}, "SOURCE and MOUNTPOINT are missing"},
		{{"src"}, "MOUNTPOINT is missing"},
		{{"-o", "lowerdir=a", "dir"}, "MOUNTPOINT is missing"},
		{{"src", "dir", "more"}, "unexpected argument 'more'"},
		{{"", "dir"}, "SOURCE must not be empty"},
		{{"src", ""}, "MOUNTPOINT must not be empty"},
		/* Values. */
		{{"src", "dir", "-o"}, "'-o' requires a value"},
		{{"src", "dir", "--id"}, "'--id' requires a value"},
		{{"src", "dir", "--mounts"}, "'--mounts' requires a value"},
		{{"src", "dir", "--id="}, "--id must not be empty"},
		{{"src", "dir", "--mounts="}, "--mounts must not be empty"},
		{{"src", "dir", "--bundle="}, "--bundle must not be empty"},
		{{"src", "dir", "--mounts=a", "--mounts=b"}, "--mounts may be given only once"},
		{{"src", "dir", "--bundle=a", "--bundle=b"}, "--bundle may be given only once"},
		{{"src", "dir", "--ready-fd=0", "--ready-fd=0"}, "--ready-fd may be given only"},
		{{"src", "dir", "--chain="}, "--chain must not be empty"},
		{{"src", "dir", "--chain=x"}, "--chain: 'x' is not sha256: and 64 digits"},
		{{"src", "dir", CHAIN}, NULL},
		{{"src", "dir", CHAIN, CHAIN}, "--chain may be given only once"},
		{{"src", "dir", CHAIN "0"}, "is not sha256: and 64 digits"},
		{{"src", "dir", "--tree=x"}, "unknown argument '--tree=x'"},
		{{"src", "dir", "--ready-fd=x"}, "--ready-fd: 'x' is not"},
		{{"src", "dir", "--ready-fd=-1"}, "--ready-fd: '-1' is not"},
		{{"src", "dir", "--ready-fd=2147483648"}, "--ready-fd: '2147483648' is not"},
		{{"src", "dir", "--ready-fd=9999"}, "--ready-fd=9999: Bad file descriptor"},
		{{"src", "dir", "--lifeline=9999"}, "--lifeline=9999: Bad file descriptor"},
		{{"src", "dir", "--log-format=xml"}, "--log-format: 'xml' is not text or json"},
		{{"src", "dir", "--log-level=all"}, "--log-level: 'all' is not error, warn"},
		{{"src", "dir", "-o", "nonsense"}, "unknown mount option 'nonsense'"},
		/* Unknown, by name. */
		{{"src", "dir", "--nonsense"}, "unknown argument '--nonsense'"},
		{{"src", "dir", "--nonsense=1"}, "unknown argument '--nonsense=1'"},
		{{"src", "dir", "--foreground=1"}, "'--foreground' does not accept a value"},
		{{"src", "dir", "-x"}, "unknown argument '-x'"},
		{{"src", "dir", "-fx"}, "unknown argument '-x'"},
		{{"src", "dir", "-xf"}, "unknown argument '-x'"},
		{{"src", "dir", "--json"}, "unknown argument '--json'"},
		{{"src", "dir", "--"}, NULL},
		{{"src", "dir", "---"}, "unknown argument '---'"},
		{{"src", "dir", "--=x"}, "unknown argument '--=x'"},
		/* With the nearest known one. */
		{{"src", "dir", "--foregruond"}, "'--foregruond': did you mean '--foreground'?"},
		{{"src", "dir", "--mouns=x"}, "'--mouns=x': did you mean '--mounts'?"},
		{{"src", "dir", "--tree=t"}, "unknown argument '--tree=t'"},
		{{"src", "dir", "--content=c"}, "--manifest is missing"},
		{{"src", "dir", "--oci=a", "--oci=b"}, "--oci may be given only once"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		VIEW_ERROR(error);
		cleanup_with(arguments_done) struct arguments arguments = ARGUMENTS_INIT;
		int r = parse(rows[i].words, FOR_VIEW, &arguments, &error);
		const char *row = rows[i].message ? rows[i].message : rows[i].words[0];

		same_error(row, r, &error, rows[i].message ? CODE_EUSAGE : CODE_NONE,
			   rows[i].message);
	}
}

static void test_options_set_their_values(void **state)
{
	static const char *const words[] = {"src",	   "--mounts=-",   "-f",
					    "dir",	   "--ready-fd=1", "--lifeline=0",
					    "-o",	   "binary=/k",	   "--log-format=json",
					    "--log-level", "debug",	   NULL};
	VIEW_ERROR(error);
	cleanup_with(arguments_done) struct arguments arguments = ARGUMENTS_INIT;

	(void)state;
	assert_int_equal(parse(words, FOR_VIEW, &arguments, &error), 0);
	assert_string_equal(arguments.from.source, "src");
	assert_string_equal(arguments.mountpoint, "dir");
	assert_string_equal(arguments.from.mounts, "-");
	assert_null(arguments.from.bundle);
	assert_true(arguments.foreground);
	assert_int_equal(arguments.ready_fd, 1);
	assert_int_equal(arguments.lifeline, 0);
	assert_string_equal(arguments.options.binary, "/k");
	assert_int_equal(arguments.log.format, LOG_FORMAT_JSON);
	assert_int_equal(arguments.log.level, LOG_LEVEL_DEBUG);
	assert_null(arguments.log.id);
}

/* -o again adds to what was said; --id and -o id= are one. */
static void test_repeated_options_add_up_and_others_keep_their_defaults(void **state)
{
	static const char *const words[] = {"-o", "lowerdir+=a,id=one", "src",	    "dir",
					    "-o", "lowerdir+=b",	"--id=two", NULL};
	VIEW_ERROR(error);
	cleanup_with(arguments_done) struct arguments arguments = ARGUMENTS_INIT;

	(void)state;
	assert_int_equal(parse(words, FOR_VIEW, &arguments, &error), 0);
	assert_string_equal(joined(&arguments.options.overlay.lowers), "a|b");
	assert_string_equal(arguments.options.id, "two");
	assert_string_equal(arguments.log.id, "two");
	assert_false(arguments.foreground);
	assert_int_equal(arguments.log.format, LOG_FORMAT_TEXT);
	assert_int_equal(arguments.log.level, LOG_LEVEL_INFO);
	assert_int_equal(arguments.ready_fd, -1);
	assert_int_equal(arguments.lifeline, -1);
}

/* Where to say what is wrong may stand behind it. */
static void test_reading_goes_on_after_an_error(void **state)
{
	static const char *const words[] = {
		"--nonsense", "src", "dir", "-o", "bad", "--ready-fd=0", "--log-format=json", NULL};
	VIEW_ERROR(error);
	cleanup_with(arguments_done) struct arguments arguments = ARGUMENTS_INIT;

	(void)state;
	assert_int_equal(parse(words, FOR_VIEW, &arguments, &error), -ECANCELED);
	assert_string_equal(error.message, "unknown argument '--nonsense'");
	assert_int_equal(arguments.ready_fd, 0);
	assert_int_equal(arguments.log.format, LOG_FORMAT_JSON);
}

static void test_help_and_version_need_no_operands(void **state)
{
	static const char *const rows[][2] = {
		{"-h", NULL}, {"--help", NULL}, {"-V", NULL}, {"--version", NULL}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		VIEW_ERROR(error);
		cleanup_with(arguments_done) struct arguments arguments = ARGUMENTS_INIT;

		/* Without the operands, too. */
		same_int(rows[i][0], parse(rows[i], FOR_VIEW, &arguments, &error), 0);
		same_int(rows[i][0], arguments.help, i < 2);
		same_int(rows[i][0], arguments.version, i >= 2);
	}
}

static void test_the_version_may_be_asked_for_as_json(void **state)
{
	static const struct {
		const char *words[2];
		enum arguments_for what;
		int result;
		bool json;
	} rows[] = {
		{{"--version", NULL}, FOR_VIEW, 0, false},
		{{"--version=json", NULL}, FOR_VIEW, 0, true},
		{{"--version=", NULL}, FOR_VIEW, -ECANCELED, false},
		{{"--version=text", NULL}, FOR_VIEW, -ECANCELED, false},
		{{"--version=json", NULL}, FOR_RESOLVE, -ECANCELED, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		VIEW_ERROR(error);
		cleanup_with(arguments_done) struct arguments arguments = ARGUMENTS_INIT;

		same_int(rows[i].words[0], parse(rows[i].words, rows[i].what, &arguments, &error),
			 rows[i].result);
		same_int(rows[i].words[0], arguments.json, rows[i].json);
	}
}

/* viewfsctl resolve [SOURCE]: the same forms, and no mountpoint. */
static void test_resolve_accepts_the_forms_without_a_mountpoint(void **state)
{
	static const struct {
		const char *words[WORDS_MAX];
		const char *source; /* NULL: EUSAGE */
	} rows[] = {
		{{"src"}, "src"},
		{{"--json", "src", "--digest"}, "src"},
		/* With another form the label may be left out. */
		{{"--mounts=x"}, "none"},
		{{"--bundle=x"}, "none"},
		{{"-o", "lowerdir=a"}, "none"},
		{{"-o", "lowerdir=a", "label"}, "label"},
		{{NULL}, NULL},
		{{"-o", "binary=/k"}, NULL},
		{{"src", "dir"}, NULL},
		{{"src", "-f"}, NULL},
		{{"src", "--ready-fd=0"}, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		VIEW_ERROR(error);
		cleanup_with(arguments_done) struct arguments arguments = ARGUMENTS_INIT;
		int r = parse(rows[i].words, FOR_RESOLVE, &arguments, &error);
		const char *row = rows[i].words[0] ? rows[i].words[0] : "nothing";

		same_error(row, r, &error, rows[i].source ? CODE_NONE : CODE_EUSAGE, NULL);
		same_str(row, rows[i].source ? arguments.from.source : NULL, rows[i].source);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_arguments_are_named),
		cmocka_unit_test(test_options_set_their_values),
		cmocka_unit_test(test_repeated_options_add_up_and_others_keep_their_defaults),
		cmocka_unit_test(test_reading_goes_on_after_an_error),
		cmocka_unit_test(test_help_and_version_need_no_operands),
		cmocka_unit_test(test_the_version_may_be_asked_for_as_json),
		cmocka_unit_test(test_resolve_accepts_the_forms_without_a_mountpoint),
	};

	return cmocka_run_group_tests_name("arguments", tests, NULL, NULL);
}
