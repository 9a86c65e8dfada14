/* SPDX-License-Identifier: Apache-2.0 */
/* The state that a process leaves to the one that takes its view over: any process may pose. */
#include <string.h>

#include "fuse/serve/state.h"
#include "tests/fuzz/check.h"

enum { FILES = 3, FIRST_FILE = 1000 }; /* numbers that are no descriptors here */

/* A view that a session can serve whatever is asked. */
static void require_served(const struct view *view)
{
	require(view->artifact_count > 0 && view->artifact_count <= ARTIFACTS_MAX, "artifacts");
	for (size_t i = 0; i < view->artifact_count; i++) {
		const struct artifact *artifact = &view->artifacts[i];

		require(artifact->path[0] == '/', "a path is absolute");
		require(roles_name(artifact->roles) != NULL, "its roles have a name");
		require(artifact->state != ARTIFACT_UNRESOLVED, "it was looked for");
		if (artifact->state != ARTIFACT_READY)
			continue;
		require(S_ISREG(artifact->st.st_mode) && !(artifact->st.st_mode & 0222),
			"it is a file that cannot be written");
		require((artifact->reading == READ_PASSTHROUGH && artifact->backing_id > 0 &&
			 artifact->fd < 0) ||
				(artifact->fd >= FIRST_FILE && artifact->fd < FIRST_FILE + FILES),
			"it has something to be read from");
	}
	for (uint32_t node = VIEW_ROOT; node < view->node_count; node++) {
		require(view->nodes[node].parent < node || node == VIEW_ROOT,
			"a node comes after its parent");
		view_attributes(view, node);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const int files[FILES] = {FIRST_FILE, FIRST_FILE + 1, FIRST_FILE + 2};
	struct view_facts facts = {.version = "0"};
	struct view view = {};
	struct view_state state = {.view = &view, .facts = &facts};
	VIEW_ERROR(error);

	if (state_parse(data, size, files, FILES, &state, &error) == 0) {
		cleanup_free char *answer = NULL;

		require_served(&view);
		facts.view = &view;
		answer = report_answer(&facts);
		require(answer != NULL, "it can say what it is");
	} else {
		require(error.code != CODE_NONE, "a failure is told");
	}
	state_done(&state);
	return 0;
}
