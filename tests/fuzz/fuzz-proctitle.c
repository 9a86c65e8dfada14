/* SPDX-License-Identifier: Apache-2.0 */
/* A command line, which any process on the machine may choose. */
#include <string.h>

#include "fuse/live/proctitle.h"
#include "fuse/live/view-answer.h"
#include "tests/fuzz/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_with(view_answer_done) struct view_answer answer = {};
	cleanup_free char *text = input_string(data, size);
	cleanup_free char *copy = NULL;
	size_t n = size;
	const char *ready = proctitle_text(text, &n);

	if (!ready)
		return 0;
	require(strncmp(text, PROCTITLE_PREFIX, strlen(PROCTITLE_PREFIX)) == 0,
		"a title says what it is");
	require(ready + n <= text + size, "a title lies in its command line");
	copy = input_string((const uint8_t *)ready, n);
	view_answer_parse(copy, n, &answer);
	return 0;
}
