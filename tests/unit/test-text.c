/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/text.h"

#include "tests/unit/fixture.h"

static void test_a_list_of_strings_grows_and_owns_them(void **state)
{
	struct strings list = {};

	(void)state;
	for (int i = 0; i < 100; i++) {
		char *item;

		assert_return_code(asprintf(&item, "%d", i), errno);
		assert_int_equal(strings_take(&list, item), 0);
	}
	assert_int_equal(strings_take(&list, NULL), -ENOMEM);
	assert_int_equal(list.count, 100);
	assert_string_equal(list.items[99], "99");
	strings_clear(&list);
	assert_int_equal(list.count, 0);
	assert_int_equal(strings_take(&list, strdup("again")), 0);
	strings_clear(&list);
}

static void test_only_numbers_within_the_limit_are_parsed(void **state)
{
	static const struct {
		const char *text;
		int base;
		uint64_t max;
		int r;
		uint64_t want;
	} rows[] = {
		{"0", 10, 0, 0, 0},
		{"10", 10, 10, 0, 10},
		{"11", 10, 10, -EINVAL, 0},
		{"007", 10, 10, 0, 7},
		{"18446744073709551615", 10, UINT64_MAX, 0, UINT64_MAX},
		{"18446744073709551616", 10, UINT64_MAX, -EINVAL, 0},
		{"99999999999999999999999", 10, UINT64_MAX, -EINVAL, 0},
		{"0555", 8, 0777, 0, 0555},
		{"777", 8, 0777, 0, 0777},
		{"1000", 8, 0777, -EINVAL, 0},
		{"8", 8, 0777, -EINVAL, 0},
		/* Nothing but digits. */
		{"", 10, 10, -EINVAL, 0},
		{" 1", 10, 10, -EINVAL, 0},
		{"1 ", 10, 10, -EINVAL, 0},
		{"+1", 10, 10, -EINVAL, 0},
		{"-1", 10, 10, -EINVAL, 0},
		{"0x1", 10, 10, -EINVAL, 0},
		{"1.0", 10, 10, -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t value = 0;

		same_int(rows[i].text, parse_uint(rows[i].text, rows[i].base, rows[i].max, &value),
			 rows[i].r);
		same_int(rows[i].text, value, rows[i].want);
	}
}

static void test_bytes_have_units_of_1024(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t want; /* 0 where it fails */
	} rows[] = {
		{"1", 0, 1},
		{"4096", 0, 4096},
		{"1K", 0, 1024},
		{"100M", 0, UINT64_C(100) << 20},
		{"4G", 0, UINT64_C(4) << 30},
		{"2T", 0, UINT64_C(2) << 40},
		{"16777215T", 0, UINT64_C(16777215) << 40},
		{"18446744073709551615", 0, UINT64_MAX},
		{"16777216T", -EINVAL, 0},
		{"18446744073709551616", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"0", -EINVAL, 0},
		{"0G", -EINVAL, 0},
		{"G", -EINVAL, 0},
		{"4g", -EINVAL, 0},
		{"4GB", -EINVAL, 0},
		{"4KK", -EINVAL, 0},
		{" 4", -EINVAL, 0},
		{"-4", -EINVAL, 0},
		{"+4", -EINVAL, 0},
		{"1.5G", -EINVAL, 0},
		{"0x10", -EINVAL, 0},
		{"000000000000000000000000001", -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t value = 0;

		same_int(rows[i].text, parse_bytes(rows[i].text, &value), rows[i].r);
		same_int(rows[i].text, rows[i].r == 0 && value == rows[i].want, rows[i].r == 0);
	}
}

/* Both are of the same rules: valid UTF-8 is shown as it is, unless it is a control character. */
static void test_only_printable_utf8_is_shown_unescaped(void **state)
{
	static const struct {
		const char *bytes;
		bool valid;
		const char *shown;
	} rows[] = {
		{"", true, ""},
		{"plain", true, "plain"},
		{"gr\xc3\xbc\xc3\x9f", true, "gr\xc3\xbc\xc3\x9f"},
		{"\xe2\x82\xac", true, "\xe2\x82\xac"},
		{"\xf0\x9f\x98\x80", true, "\xf0\x9f\x98\x80"},
		{"\xf4\x8f\xbf\xbf", true, "\xf4\x8f\xbf\xbf"},
		/* The first after each boundary of RFC 3629. */
		{"\xf4\x90\x80\x80", false, "\\364\\220\\200\\200"},
		{"\xf5\x80\x80\x80", false, "\\365\\200\\200\\200"},
		{"\xed\x9f\xbf", true, "\xed\x9f\xbf"},
		{"\xed\xa0\x80", false, "\\355\\240\\200"}, /* a surrogate */
		{"\xc0\x80", false, "\\300\\200"},	    /* overlong */
		{"\xc1\xbf", false, "\\301\\277"},
		{"\xe0\x9f\xbf", false, "\\340\\237\\277"},
		{"\xe0\xa0\x80", true, "\xe0\xa0\x80"},
		{"\xf0\x8f\xbf\xbf", false, "\\360\\217\\277\\277"},
		{"\xf0\x90\x80\x80", true, "\xf0\x90\x80\x80"},
		{"\x80", false, "\\200"},
		{"\xff", false, "\\377"},
		/* Cut short, or something else where bytes should follow. */
		{"a\xc3", false, "a\\303"},
		{"a\xe2\x82", false, "a\\342\\202"},
		{"\xe2z\xac", false, "\\342z\\254"},
		{"\xf0\x9f\x98", false, "\\360\\237\\230"},
		/* Control characters: C0, DEL and C1. */
		{"a\n\tb\x1b[31m", true, "a\\012\\011b\\033[31m"},
		{"\x7f", true, "\\177"},
		{"\xc2\x80\xc2\x9b\xc2\x9f", true, "\\302\\200\\302\\233\\302\\237"},
		{"\xc2\xa0", true, "\xc2\xa0"},
		{"back\\slash", true, "back\\134slash"},
		/* Separators, and marks that change the direction of text; and their neighbours. */
		{"\u2027\u2028\u2029", true, "\u2027\\342\\200\\250\\342\\200\\251"},
		{"\u202a\u202e\u202f", true, "\\342\\200\\252\\342\\200\\256\u202f"},
		{"\u2065\u2066\u2069\u206a", true, "\u2065\\342\\201\\246\\342\\201\\251\u206a"},
		{"\u200d\u200e\u200f\u2010", true, "\u200d\\342\\200\\216\\342\\200\\217\u2010"},
		{"\u061b\u061c", true, "\u061b\\330\\234"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *shown = name_printable(rows[i].bytes);
		cleanup_free char *again = shown ? text_printable(shown) : NULL;
		cleanup_free char *name = shown ? strdup(shown) : NULL;

		same_int(rows[i].shown, utf8_is_valid(rows[i].bytes, strlen(rows[i].bytes)),
			 rows[i].valid);
		same_str(rows[i].shown, shown, rows[i].shown);
		/* What is shown can be shown again, and is nothing but that name. */
		same_str(rows[i].shown, again, shown);
		assert_non_null(name);
		text_decode_octal(name);
		same_str(rows[i].shown, name, rows[i].bytes);
	}
	assert_true(utf8_is_valid("a\0b", 3));
	/* Not a byte beyond the length. */
	assert_false(utf8_is_valid("\xc3\xbc", 1));
}

/* Cut between characters, with room for the NUL. */
static void test_text_is_cut_between_characters(void **state)
{
	static const struct {
		const char *text;
		size_t size;
		const char *want;
	} rows[] = {
		{"abc", 4, "abc"},
		{"abc", 3, "ab"},
		{"abc", 1, ""},
		{"a\xc3\xbc", 4, "a\xc3\xbc"},
		{"a\xc3\xbc"
		 "b",
		 3, "a"},
		{"a\n", 6, "a\\012"},
		{"a\n", 5, "a"},
		{"", 1, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *out = malloc(rows[i].size);

		assert_non_null(out);
		same_int(rows[i].want, escape_unprintable(out, rows[i].size, rows[i].text),
			 strlen(rows[i].want));
		same_str(rows[i].want, out, rows[i].want);
		free(out);
	}
}

static void test_a_json_string_is_escaped_and_cut(void **state)
{
	static const struct {
		const char *text;
		size_t size;
		const char *want;
	} rows[] = {
		{"plain", 16, "plain"},
		{"a\"b\\c", 16, "a\\\"b\\\\c"},
		{"gr\xc3\xbc\xc3\x9f", 16, "gr\xc3\xbc\xc3\x9f"},
		{"", 16, ""},
		/* Never half of an escape. */
		{"\"\"", 5, "\\\"\\\""},
		{"\"\"", 4, "\\\""},
		{"\"", 2, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *out = malloc(rows[i].size);

		assert_non_null(out);
		same_int(rows[i].text, text_json(out, rows[i].size, rows[i].text),
			 strlen(rows[i].want));
		same_str(rows[i].text, out, rows[i].want);
		free(out);
	}
}

static void test_octal_escapes_are_decoded_once(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"plain", "plain"},
		{"sp\\040ace", "sp ace"},
		{"co\\134\\054mma", "co\\,mma"},
		{"\\011\\012", "\t\n"},
		{"\\303\\274", "\xc3\xbc"},
		/* Decoded once. */
		{"\\134040", "\\040"},
		/* Not three octal digits. */
		{"co\\:lon", "co\\:lon"},
		{"\\04", "\\04"},
		{"\\089", "\\089"},
		{"\\", "\\"},
		{"\\\\040", "\\ "},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *text = strdup(rows[i].text);

		assert_non_null(text);
		text_decode_octal(text);
		same_str(rows[i].text, text, rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_list_of_strings_grows_and_owns_them),
		cmocka_unit_test(test_only_numbers_within_the_limit_are_parsed),
		cmocka_unit_test(test_bytes_have_units_of_1024),
		cmocka_unit_test(test_only_printable_utf8_is_shown_unescaped),
		cmocka_unit_test(test_text_is_cut_between_characters),
		cmocka_unit_test(test_a_json_string_is_escaped_and_cut),
		cmocka_unit_test(test_octal_escapes_are_decoded_once),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
