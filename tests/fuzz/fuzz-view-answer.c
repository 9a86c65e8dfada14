/* SPDX-License-Identifier: Apache-2.0 */
/* The answer of a mount that says that it is a view, which any user may make. */
#include <string.h>

#include "fuse/base/json.h"
#include "fuse/base/text.h"
#include "fuse/live/view-answer.h"
#include "tests/fuzz/check.h"

/* Whether a terminal would show a string as it is. */
static bool is_shown(const char *text)
{
	cleanup_free char *again = text_printable(text);

	return again && strcmp(again, text) == 0;
}

static void require_shown(struct json_object *value)
{
	if (json_object_is_type(value, json_type_string))
		require(is_shown(json_object_get_string(value)), "a string can be shown");
	for (size_t i = 0;
	     json_object_is_type(value, json_type_array) && i < json_object_array_length(value);
	     i++)
		require_shown(json_object_array_get_idx(value, i));
	if (!json_object_is_type(value, json_type_object))
		return;
	json_object_object_foreach(value, key, member)
	{
		require(is_shown(key), "a key can be shown");
		require_shown(member);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_with(view_answer_done) struct view_answer answer = {};
	cleanup_free char *text = input_string(data, size);
	cleanup_free char *line = NULL;

	if (view_answer_parse(text, size, &answer) < 0) {
		require(!answer.ready, "what is no answer has no ready line");
		return 0;
	}
	require(json_string(answer.ready, "mountpoint") != NULL, "an answer names its mountpoint");
	require(!json_object_object_get_ex(answer.ready, "pid", NULL), "a ready line has no pid");
	require(answer.pid >= 0, "a pid is a number of a process");
	require_shown(answer.ready);
	line = json_line(answer.ready);
	require(line != NULL, "the ready line can be told again");
	return 0;
}
