/* SPDX-License-Identifier: Apache-2.0 */
/* Go's base64.StdEncoding, not strict: encoding/base64/base64.go, decodeQuantum(). */
#include "fuse/base/base64.h"

#include "tests/unit/fixture.h"

static void test_only_standard_base64_is_decoded(void **state)
{
	static const struct {
		const char *text, *want; /* NULL: refused */
	} rows[] = {
		{"", ""},
		{"Zg==", "f"},
		{"Zm8=", "fo"},
		{"Zm9v", "foo"},
		{"Zm9vYg==", "foob"},
		{"Zm9vYmE=", "fooba"},
		{"Zm9vYmFy", "foobar"},
		{"L3VuaWtlcm5lbC9rZXJuZWw=", "/unikernel/kernel"},
		{"/+/+", "\xff\xef\xfe"},
		/* CR and LF are skipped anywhere. */
		{"\r\n", ""},
		{"Z\nm\r9\r\nv\n", "foo"},
		{"\nZg=\n=\r\n", "f"},
		{"Zg\n==", "f"},
		{"Zm8\n=\n", "fo"},
		/* Other white space is not. */
		{"Zm9v ", NULL},
		{" Zm9v", NULL},
		{"Zm\t9v", NULL},
		/* Padding is required, and ends the text. */
		{"Zg", NULL},
		{"Zg=", NULL},
		{"Zg=\n", NULL},
		{"Zm8", NULL},
		{"Zm8==", NULL},
		{"Zg===", NULL},
		{"Zm9v=", NULL},
		{"=", NULL},
		{"====", NULL},
		{"Z===", NULL},
		{"Z", NULL},
		{"Zm9vY", NULL},
		{"Zg==Zg==", NULL},
		{"Zg=g", NULL},
		{"Zm8=x", NULL},
		/* Trailing bits are ignored. */
		{"Zh==", "f"},
		{"Zm9=", "fo"},
		/* The URL's alphabet is another one. */
		{"-_-_", NULL},
		{"Zm9v*", NULL},
		{"\xc3\xbc==", NULL},
		{"/unikernel/kernel", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *bytes = NULL;
		size_t n = 99;

		same_int(rows[i].text, base64_decode(rows[i].text, &bytes, &n),
			 rows[i].want ? 0 : -EINVAL);
		same_str(rows[i].text, bytes, rows[i].want);
		same_int(rows[i].text, n, rows[i].want ? strlen(rows[i].want) : 99);
	}
}

static void test_a_nul_may_be_encoded(void **state)
{
	cleanup_free char *bytes = NULL;
	size_t n;

	(void)state;
	assert_int_equal(base64_decode("AGEAAA==", &bytes, &n), 0);
	assert_int_equal(n, 4);
	assert_memory_equal(bytes, "\0a\0\0", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_standard_base64_is_decoded),
		cmocka_unit_test(test_a_nul_may_be_encoded),
	};

	return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
