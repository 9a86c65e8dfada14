/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ctl/doctor-findings.h"

#include <string.h>
#include <unistd.h>

#include "fuse/live/views.h"

/* One finding for all views in a state; nothing where there are none. */
static void findings_add_state(struct findings *findings, const struct views *views,
			       enum view_state state, enum severity severity, const char *fix)
{
	const char *example = NULL;
	size_t n = 0;

	for (size_t i = 0; i < views->count; i++) {
		if (views->items[i].state != state || !views->items[i].mounted)
			continue;
		example = example ? example : views->items[i].entry.mountpoint;
		n++;
	}
	if (n > 0)
		findings_add(findings, severity, "views", fix, "%zu %s: '%s'%s", n,
			     view_state_name(state), example, n > 1 ? " and others" : "");
}

/* Those that lack artifacts. */
static void findings_add_missing(struct findings *findings, const struct views *views)
{
	const struct listed_view *example = NULL;
	size_t n = 0;

	for (size_t i = 0; i < views->count; i++) {
		struct json_object *missing =
			json_object_object_get(views->items[i].answer.ready, "missing");

		if (!views->items[i].mounted || !missing || json_object_array_length(missing) == 0)
			continue;
		example = example ? example : &views->items[i];
		n++;
	}
	if (n > 0)
		findings_add(findings, SEVERITY_WARNING, "views",
			     "see 'viewfsctl list' and the view's log; repair the image or the "
			     "layer, and mount again",
			     "%zu without an artifact: '%s'%s", n, example->entry.mountpoint,
			     n > 1 ? " and others" : "");
}

/* Those of another version's program. Of a replaced library no view tells. */
static void findings_add_versions(struct findings *findings, const struct views *views)
{
	const struct listed_view *example = NULL;
	size_t n = 0;

	for (size_t i = 0; i < views->count; i++) {
		const struct listed_view *view = &views->items[i];

		if (!view->mounted || view->repeated || !*view->answer.version ||
		    strcmp(view->answer.version, VIEWFS_VERSION) == 0)
			continue;
		example = example ? example : view;
		n++;
	}
	if (n > 0)
		findings_add(findings, SEVERITY_NOTE, "views", "viewfsctl upgrade --all",
			     "%zu of another version: '%s'%s", n, example->entry.mountpoint,
			     n > 1 ? " and others" : "");
}

static void findings_add_elsewhere(struct findings *findings, const struct views *views)
{
	size_t n = 0;

	for (size_t i = 0; i < views->count; i++)
		n += !views->items[i].mounted;
	if (n > 0)
		findings_add(findings, SEVERITY_NOTE, "views",
			     geteuid() == 0 ? "viewfsctl list --all; viewfsctl umount --id=ID"
					    : "viewfsctl list --all",
			     "%zu that no mount of this namespace leads to", n);
}

void check_views(struct findings *findings)
{
	cleanup_with(views_done) struct views views = {};
	int r = views_read(VIEWS_ELSEWHERE, &views);

	if (r < 0) {
		findings_add(findings, SEVERITY_WARNING, "views", "mount /proc",
			     "views cannot be listed: %s", strerror(-r));
		return;
	}
	findings_add_state(findings, &views, VIEW_ALIVE, SEVERITY_OK, NULL);
	findings_add_state(
		findings, &views, VIEW_NOT_ANSWERING, SEVERITY_WARNING,
		"kill -CONT the process that 'viewfsctl list' shows, or thaw its cgroup");
	findings_add_state(findings, &views, VIEW_DEAD, SEVERITY_WARNING, "viewfsctl gc");
	findings_add_state(findings, &views, VIEW_UNKNOWN, SEVERITY_NOTE,
			   "'viewfsctl list --all' asks other users' views, too");
	findings_add_missing(findings, &views);
	findings_add_versions(findings, &views);
	findings_add_elsewhere(findings, &views);
}
