/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ctl/checkup.h"

#include <string.h>

#include "fuse/live/views.h"

/* One finding for all views in a state; nothing where there are none. */
static void add(struct checkup *checkup, const struct views *views, enum mount_state state,
		enum severity severity, const char *fix)
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
		checkup_add(checkup, severity, "views", fix, "%zu %s: '%s'%s", n,
			    mount_state_name(state), example, n > 1 ? " and others" : "");
}

void check_views(struct checkup *checkup)
{
	cleanup_with(views_done) struct views views = {};
	int r = views_read(&views);

	if (r < 0) {
		checkup_add(checkup, SEVERITY_WARNING, "views", "mount /proc",
			    "they cannot be listed: %s", strerror(-r));
		return;
	}
	add(checkup, &views, MOUNT_ALIVE, SEVERITY_OK, NULL);
	add(checkup, &views, MOUNT_STOPPED, SEVERITY_WARNING,
	    "kill -CONT the process that 'viewfsctl list' shows");
	add(checkup, &views, MOUNT_DEAD, SEVERITY_WARNING, "viewfsctl gc");
	add(checkup, &views, MOUNT_UNKNOWN, SEVERITY_NOTE,
	    "look where its process runs, in another pid namespace perhaps");
}
