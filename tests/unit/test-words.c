/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/words.h"

#include "tests/unit/fixture-view.h"

static void test_a_word_is_found_at_its_position(void **state)
{
	static const struct {
		const char *list, *word;
		int want;
	} rows[] = {
		{"auto|on|off", "auto", 0}, {"auto|on|off", "on", 1}, {"auto|on|off", "off", 2},
		{"one", "one", 0},	    {"a|b|c", "c", 2},	      {"auto|on|off", "o", -1},
		{"auto|on|off", "of", -1},  {"auto|on", "auton", -1}, {"auto|on", "auto|on", -1},
		{"auto|on", "", -1},	    {"auto|on", "ON", -1},    {"", "x", -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		same_int(rows[i].word, words_find(rows[i].list, rows[i].word), rows[i].want);
}

static void test_a_phrase_has_commas_and_one_or(void **state)
{
	static const struct {
		const char *list, *want;
	} rows[] = {
		{"one", "one"},
		{"text|json", "text or json"},
		{"error|warn|info|debug", "error, warn, info or debug"},
	};
	char phrase[WORDS_PHRASE_SIZE], many[200] = "";

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		words_phrase(rows[i].list, phrase);
		same_str(rows[i].list, phrase, rows[i].want);
	}
	for (size_t n = 0; n + 2 < sizeof(many); n += 2) {
		memcpy(many + n, n == 0 ? "ab" : "|c", 3);
		words_phrase(many, phrase);
		assert_true(strlen(phrase) < sizeof(phrase));
	}
}

static const char *nearest(const char *typed, const char *list)
{
	static struct nearest found;

	found = nearest_to(typed, strlen(typed));
	nearest_offer(&found, list);
	return found.word;
}

static void test_a_mistyped_word_has_a_nearest_one(void **state)
{
	static const char list[] = "timeout|passthrough|resolve|ro|rw|sandbox|uid|gid";
	static const struct {
		const char *typed, *want;
	} rows[] = {
		/* Missing, too much, wrong, swapped. */
		{"timout", "timeout"},
		{"timeoutt", "timeout"},
		{"timaout", "timeout"},
		{"tiemout", "timeout"},
		{"passthru", ""},
		{"passtrough", "passthrough"},
		{"pasthruogh", "passthrough"},
		{"solve", ""},
		{"resolv", "resolve"},
		{"sandbox", "sandbox"},
		{"SANDBOX", "sandbox"},
		/* The first of those that are as near. */
		{"ra", "ro"},
		{"pid", "uid"},
		/* Nothing of it is right. */
		{"colour", ""},
		{"x", ""},
		{"", ""},
		{"\xc3\xa4", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		same_str(rows[i].typed, nearest(rows[i].typed, list), rows[i].want);
}

static void test_the_nearest_word_wins_wherever_it_stands(void **state)
{
	struct nearest found = nearest_to("sandbax=1", strlen("sandbax"));

	(void)state;
	nearest_offer(&found, "sandbags|nothing");
	assert_string_equal(found.word, "sandbags");
	nearest_offer(&found, "sandbox");
	assert_string_equal(found.word, "sandbox");
	nearest_offer(&found, "sandbags|sandbix");
	assert_string_equal(found.word, "sandbox");
}

static void test_a_long_word_resembles_none(void **state)
{
	static char typed[1 << 16], name[WORD_MAX + 2];

	(void)state;
	memset(typed, 'a', sizeof(typed) - 1);
	memset(name, 'a', sizeof(name) - 1);
	assert_string_equal(nearest(typed, "a|aa|timeout"), "");
	/* Of the most letters that are compared, and one more, on either side. */
	typed[WORD_MAX + 1] = '\0';
	assert_string_equal(nearest(typed, name), "");
	typed[WORD_MAX] = '\0';
	assert_string_equal(nearest(typed, name), "");
	name[WORD_MAX] = '\0';
	assert_string_equal(nearest(typed, name), name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_word_is_found_at_its_position),
		cmocka_unit_test(test_a_phrase_has_commas_and_one_or),
		cmocka_unit_test(test_a_mistyped_word_has_a_nearest_one),
		cmocka_unit_test(test_the_nearest_word_wins_wherever_it_stands),
		cmocka_unit_test(test_a_long_word_resembles_none),
	};

	return cmocka_run_group_tests_name("words", tests, NULL, NULL);
}
