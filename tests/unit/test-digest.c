/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/digest.h"

#include "tests/unit/fixture.h"

#define DIGITS "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_a_digest_is_sha256_and_64_lower_case_digits(void **state)
{
	static const char *const bad[] = {
		"",
		"sha256:",
		DIGITS,
		"sha256" DIGITS,
		"sha512:" DIGITS,
		"SHA256:" DIGITS,
		"sha256: " DIGITS,
		"sha256:" DIGITS "0",
		"sha256:" DIGITS "\n",
		"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde",
		"sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
		"sha256:g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	};
	struct li_digest digest = {};
	char text[DIGEST_TEXT_SIZE];

	(void)state;
	assert_int_equal(digest_parse("sha256:" DIGITS, &digest), 0);
	assert_int_equal(digest.bytes[0], 0x01);
	assert_int_equal(digest.bytes[31], 0xef);
	digest_print(&digest, text);
	assert_string_equal(text, "sha256:" DIGITS);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		same_int(bad[i], digest_parse(bad[i], &digest), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_digest_is_sha256_and_64_lower_case_digits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
