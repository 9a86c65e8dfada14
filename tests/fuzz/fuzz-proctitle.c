/* SPDX-License-Identifier: Apache-2.0 */
/* A command line, which any process on the machine may choose. */
#include <string.h>

#include "fuse/base/json.h"
#include "fuse/live/proctitle.h"
#include "tests/fuzz/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_with(json_done) struct json_object *ready = NULL;
	cleanup_free char *text = input_string(data, size);
	cleanup_free char *line = NULL;
	struct proctitle title;
	int r = proctitle_parse(text, size, &title, &ready);

	require((r == 0) == (ready != NULL), "a title, and only that, has a ready line");
	if (r < 0)
		return 0;
	require(strncmp(text, PROCTITLE_PREFIX, strlen(PROCTITLE_PREFIX)) == 0,
		"a title says what it is");
	require(!json_object_object_get_ex(ready, "view", NULL), "the ready line has no facts");
	line = json_line(ready);
	require(line != NULL, "the ready line can be told again");
	return 0;
}
