/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ctl/doctor-findings.h"

#include <string.h>

#include "fuse/live/views.h"

/* One finding for all views in a state; nothing where there are none. */
static void findings_add_state(struct findings *findings, const struct views *views,
			       enum mount_state state, enum severity severity, const char *fix)
{
	const char *example = NULL;
	size_t n = 0;

	for (size_t i = 0; i < views->count; i++) {
		if (views->items[i].state != state)
			continue;
		example = example ? example : views->items[i].entry.mountpoint;
		n++;
	}
	if (n > 0)
		findings_add(findings, severity, "views", fix, "%zu %s: '%s'%s", n,
			     mount_state_name(state), example, n > 1 ? " and others" : "");
}

/* Whether a view says that it lacks an artifact. */
static bool lacks_artifact(const struct view_mount *mount)
{
	const struct view_process *process = mount->process;
	struct json_object *missing = process && process->titled
					      ? json_object_object_get(process->ready, "missing")
					      : NULL;

	return json_object_is_type(missing, json_type_array) &&
	       json_object_array_length(missing) > 0;
}

static void add_lacking(struct findings *findings, const struct views *views)
{
	const char *example = NULL;
	size_t n = 0;

	for (size_t i = 0; i < views->count; i++) {
		if (!lacks_artifact(&views->items[i]))
			continue;
		example = example ? example : views->items[i].entry.mountpoint;
		n++;
	}
	if (n > 0)
		findings_add(findings, SEVERITY_WARNING, "views",
			     "see 'viewfsctl list' and the view's log; repair the image or the "
			     "layer, and mount again",
			     "%zu without an artifact: '%s'%s", n, example,
			     n > 1 ? " and others" : "");
}

void check_views(struct findings *findings)
{
	cleanup_with(views_done) struct views views = {};
	int r = views_read(&views);

	if (r < 0) {
		findings_add(findings, SEVERITY_WARNING, "views", "mount /proc",
			     "views cannot be listed: %s", strerror(-r));
		return;
	}
	findings_add_state(findings, &views, MOUNT_ALIVE, SEVERITY_OK, NULL);
	findings_add_state(findings, &views, MOUNT_STOPPED, SEVERITY_WARNING,
			   "kill -CONT the process that 'viewfsctl list' shows");
	findings_add_state(findings, &views, MOUNT_DEAD, SEVERITY_WARNING, "viewfsctl gc");
	add_lacking(findings, &views);
	findings_add_state(findings, &views, MOUNT_UNKNOWN, SEVERITY_NOTE,
			   "look for its process, perhaps in another pid namespace");
}
