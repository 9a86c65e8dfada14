/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/draft.h"

#include "tests/unit/fixture.h"

static void test_pieces(void **state)
{
	cleanup_with(draft_done) struct draft draft = {};
	cleanup_free char *text = NULL;

	(void)state;
	draft_print(&draft, "{\"n\":%d,\"s\":", 7);
	draft_json(&draft, "a\"b\\c\n\xff\xc3\xbc");
	draft_print(&draft, "}");
	text = draft_take(&draft);
	assert_string_equal(text, "{\"n\":7,\"s\":\"a\\\"b\\\\c\\\\012\\\\377\xc3\xbc\"}");
	assert_null(draft.text);
}

/* Whatever length it has when it must grow, and however little is left. */
static void test_growth(void **state)
{
	(void)state;
	for (size_t n = 0; n < 1500; n++) {
		cleanup_with(draft_done) struct draft draft = {};
		cleanup_free char *filler = calloc(1, n + 1);

		assert_non_null(filler);
		memset(filler, '"', n);
		draft_print(&draft, "%s", filler);
		draft_json(&draft, filler);
		draft_json(&draft, "");
		assert_false(draft.no_memory);
		assert_int_equal(draft.length, n + 2 + 2 * n + 2);
		assert_int_equal(strlen(draft.text), draft.length);
		assert_string_equal(draft.text + draft.length - 3, "\"\"\"");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_growth),
	};

	return cmocka_run_group_tests_name("draft", tests, NULL, NULL);
}
