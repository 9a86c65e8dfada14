/* SPDX-License-Identifier: Apache-2.0 */
/* urunc's rules: pkg/unikontainers/config.go. */
#include "fuse/view/urunc-config.h"

#include "tests/unit/fixture-view.h"

#define KEY(NAME)      "\"com.urunc.unikernel." NAME "\":"
#define TYPE	       KEY("unikernelType") "\"cnVtcA==\"" /* rump */
#define HYPERVISOR     KEY("hypervisor") "\"cWVtdQ==\""	   /* qemu */
#define REST	       TYPE "," HYPERVISOR ","
#define BINARY	       KEY("binary") "\"L2s=\"" /* /k */
#define CONFIG(BINARY) "{" REST BINARY "}"

static void test_only_clean_paths_are_allowed(void **state)
{
	static const struct {
		const char *path, *fault; /* NULL: allowed */
	} rows[] = {
		{"/unikernel/kernel", NULL},
		{"unikernel/kernel", NULL},
		{"k", NULL},
		{"/k.1_2-3/A-Z", NULL},
		{"a/..b/c..", NULL},
		{"a/-b", NULL},
		{".hidden", NULL},
		{"/...", NULL},
		/* Only these characters. */
		{"/a b", "hold only"},
		{"/a\n", "hold only"},
		{"/gr\xc3\xbc\xc3\x9f", "hold only"},
		{"/a:b", "hold only"},
		{"/a\\b", "hold only"},
		/* What it may not begin with. */
		{"-k", "begin with"},
		{"..", "begin with"},
		{"../k", "begin with"},
		{"..k", "begin with"},
		/* Not clean, or no file at all. */
		{"", "names no file"},
		{"/", "names no file"},
		{".", "not clean"},
		{"./k", "not clean"},
		{"/.", "not clean"},
		{"/..", "not clean"},
		{"/../k", "not clean"},
		{"//k", "not clean"},
		{"/a//k", "not clean"},
		{"/a/./k", "not clean"},
		{"/a/../k", "not clean"},
		{"/a/..", "not clean"},
		{"/k/", "end in '/'"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *fault = urunc_path_fault(rows[i].path);

		same_int(rows[i].path, fault != NULL, rows[i].fault != NULL);
		if (fault)
			has_str(rows[i].path, fault, rows[i].fault);
	}
}

static void test_the_length_of_a_path_is_limited(void **state)
{
	char path[ARTIFACT_PATH_MAX + 2] = "/";

	(void)state;
	memset(path + 1, 'p', ARTIFACT_PATH_MAX - 1);
	assert_null(urunc_path_fault(path));
	path[ARTIFACT_PATH_MAX] = 'p';
	assert_non_null(urunc_path_fault(path));
}

static const struct row {
	const char *text;
	enum decode_rule decode;
	const char *binary; /* NULL: ECONFIG */
	const char *initrd;
	const char *message;
} rows[] = {
	{CONFIG(BINARY), DECODE_STRICT, "/k", NULL, NULL},
	{CONFIG(BINARY), DECODE_AUTO, "/k", NULL, NULL},
	{CONFIG(BINARY "," KEY("initrd") "\"L2k=\""), DECODE_STRICT, "/k", "/i", NULL},
	{CONFIG(KEY("binary") "\"L2s\\r\\n=\\n\""), DECODE_STRICT, "/k", NULL, NULL},
	{CONFIG(KEY("binary") "\"\\u004c2s=\""), DECODE_STRICT, "/k", NULL, NULL},
	/* Strict: a value that is no base64 is an error, that of a key without use too. */
	{CONFIG(KEY("binary") "\"/k\""), DECODE_STRICT, NULL, NULL, "binary' is not standard"},
	{CONFIG(KEY("binary") "\"b64:L2s=\""), DECODE_STRICT, NULL, NULL,
	 "binary' is not standard"},
	{CONFIG(BINARY "," KEY("cmdline") "\"-v\""), DECODE_STRICT, NULL, NULL, "cmdline' is not"},
	{CONFIG(BINARY "," KEY("initrd") "\"!\""), DECODE_STRICT, NULL, NULL, "initrd' is not"},
	/* Auto: b64: strictly, base64 of UTF-8, and else as it is. */
	{CONFIG(KEY("binary") "\"b64:L2s=\""), DECODE_AUTO, "/k", NULL, NULL},
	{CONFIG(KEY("binary") "\"b64:/k\""), DECODE_AUTO, NULL, NULL, "binary' is not standard"},
	{CONFIG(KEY("binary") "\"b64:L2s\""), DECODE_AUTO, NULL, NULL, "binary' is not standard"},
	{CONFIG(KEY("binary") "\"/k.elf\""), DECODE_AUTO, "/k.elf", NULL, NULL},
	{CONFIG(KEY("binary") "\"/////w==\""), DECODE_AUTO, "/////w==", NULL, NULL},
	/* Four letters of base64 that are UTF-8 are base64. */
	{CONFIG(KEY("binary") "\"Zm9v\""), DECODE_AUTO, "foo", NULL, NULL},
	/* Bytes that are not UTF-8, in JSON and out of base64. */
	{CONFIG(KEY("binary") "\"\xff\""), DECODE_STRICT, NULL, NULL, "binary' is not standard"},
	{CONFIG(KEY("binary") "\"/w==\""), DECODE_STRICT, "\xff", NULL, NULL},
	{CONFIG(BINARY ",\"other\":\"\xff\""), DECODE_STRICT, "/k", NULL, NULL},
	/* A NUL would hide the rest of a path. */
	{CONFIG(KEY("binary") "\"L2s=\\u0000\""), DECODE_STRICT, NULL, NULL, "without a NUL"},
	{CONFIG(KEY("binary") "\"/k\\u0000x\""), DECODE_AUTO, NULL, NULL, "without a NUL"},
	{CONFIG(KEY("binary") "\"L2sAeA==\""), DECODE_STRICT, NULL, NULL, "without a NUL"},
	{CONFIG(KEY("binary") "\"L2sAeA==\""), DECODE_AUTO, NULL, NULL, "without a NUL"},
	/* Keys match in any case, and the last one wins, as in Go's decoder. */
	{"{" REST "\"COM.URUNC.Unikernel.Binary\":\"L2s=\"}", DECODE_STRICT, "/k", NULL, NULL},
	{CONFIG(KEY("binary") "\"L2E=\"," BINARY), DECODE_STRICT, "/k", NULL, NULL},
	{CONFIG(KEY("BINARY") "\"L2E=\"," BINARY), DECODE_STRICT, "/k", NULL, NULL},
	{CONFIG(BINARY "," KEY("BINARY") "\"L2E=\""), DECODE_STRICT, "/a", NULL, NULL},
	/* Only what won is decoded. */
	{CONFIG(KEY("BINARY") "\"!\"," BINARY), DECODE_STRICT, "/k", NULL, NULL},
	{CONFIG(BINARY "," KEY("BINARY") "\"!\""), DECODE_STRICT, NULL, NULL, "binary' is not"},
	/* null is as if absent; other types are errors. */
	{CONFIG(BINARY "," KEY("initrd") "null"), DECODE_STRICT, "/k", NULL, NULL},
	{CONFIG(BINARY "," KEY("initrd") "\"\""), DECODE_STRICT, "/k", NULL, NULL},
	{CONFIG(KEY("binary") "1"), DECODE_STRICT, NULL, NULL, "binary' is not a string"},
	{CONFIG(KEY("binary") "[\"L2s=\"]"), DECODE_STRICT, NULL, NULL, "binary' is not a string"},
	{CONFIG(BINARY "," KEY("block") "true"), DECODE_STRICT, NULL, NULL,
	 "block' is not a string"},
	{CONFIG(BINARY ",\"other\":{\"a\":[1]}"), DECODE_STRICT, "/k", NULL, NULL},
	/* What a boot needs. */
	{"{" TYPE "," HYPERVISOR "}", DECODE_STRICT, NULL, NULL, "binary' is missing"},
	{"{" TYPE "," BINARY "}", DECODE_STRICT, NULL, NULL, "hypervisor' is missing"},
	{"{" HYPERVISOR "," BINARY "}", DECODE_STRICT, NULL, NULL, "unikernelType' is missing"},
	{CONFIG(KEY("binary") "null"), DECODE_STRICT, NULL, NULL, "binary' is missing"},
	{CONFIG(KEY("binary") "\"\""), DECODE_STRICT, NULL, NULL, "binary' is missing"},
	{CONFIG(KEY("binary") "\"\\n\""), DECODE_STRICT, NULL, NULL, "binary' is missing"},
	{"{}", DECODE_STRICT, NULL, NULL, "unikernelType' is missing"},
	/* Not an object of JSON. */
	{"", DECODE_STRICT, NULL, NULL, "not JSON"},
	{"{", DECODE_STRICT, NULL, NULL, "not JSON"},
	{"{} {}", DECODE_STRICT, NULL, NULL, "not JSON"},
	{"[]", DECODE_STRICT, NULL, NULL, "not an object"},
	{"null", DECODE_STRICT, NULL, NULL, "not an object"},
	{"\"text\"", DECODE_STRICT, NULL, NULL, "not an object"},
};

static void test_each_urunc_json_gives_its_paths_or_error(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		VIEW_ERROR(error);
		cleanup_with(urunc_config_done) struct urunc_config boot = {};
		int r = urunc_config_parse(rows[i].text, strlen(rows[i].text), rows[i].decode,
					   &boot, &error);

		same_error(rows[i].text, r, &error, rows[i].binary ? CODE_NONE : CODE_ECONFIG,
			   rows[i].message);
		same_str(rows[i].text, boot.binary, rows[i].binary);
		same_str(rows[i].text, boot.initrd, rows[i].initrd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_clean_paths_are_allowed),
		cmocka_unit_test(test_the_length_of_a_path_is_limited),
		cmocka_unit_test(test_each_urunc_json_gives_its_paths_or_error),
	};

	return cmocka_run_group_tests_name("boot", tests, NULL, NULL);
}
