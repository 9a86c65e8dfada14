/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/json-writer.h"

#include "tests/unit/fixture.h"

static void test_pieces_join_to_escaped_json(void **state)
{
	cleanup_with(json_writer_done) struct json_writer writer = {};
	cleanup_free char *text = NULL;

	(void)state;
	json_writer_print(&writer, "{\"n\":%d,\"s\":", 7);
	json_writer_string(&writer, "a\"b\\c\n\xff\xc3\xbc");
	json_writer_print(&writer, "}");
	text = json_writer_take(&writer);
	assert_string_equal(text, "{\"n\":7,\"s\":\"a\\\"b\\\\134c\\\\012\\\\377\xc3\xbc\"}");
	assert_null(writer.text);
}

/* Whatever length it has when it must grow, and however little is left. */
static void test_a_text_grows_from_any_length(void **state)
{
	(void)state;
	for (size_t n = 0; n < 1500; n++) {
		cleanup_with(json_writer_done) struct json_writer writer = {};
		cleanup_free char *filler = calloc(1, n + 1);

		assert_non_null(filler);
		memset(filler, '"', n);
		json_writer_print(&writer, "%s", filler);
		json_writer_string(&writer, filler);
		json_writer_string(&writer, "");
		assert_false(writer.no_memory);
		assert_int_equal(writer.length, n + 2 + 2 * n + 2);
		assert_int_equal(strlen(writer.text), writer.length);
		assert_string_equal(writer.text + writer.length - 3, "\"\"\"");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces_join_to_escaped_json),
		cmocka_unit_test(test_a_text_grows_from_any_length),
	};

	return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
