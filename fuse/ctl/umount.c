/* SPDX-License-Identifier: Apache-2.0 */
/*
 * viewfsctl umount: leaves no view at a place, and waits for none. Unmounting alone does not
 * end a view: another mount namespace keeps a copy.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/base/json.h"
#include "fuse/base/messages.h"
#include "fuse/base/text.h"
#include "fuse/ctl/ctl.h"
#include "fuse/live/end-process.h"
#include "fuse/live/end.h"
#include "fuse/live/views.h"
#include "layerindex/array.h"

static void umount_print_help(void)
{
	puts("Usage: viewfsctl umount DIR…\n"
	     "       viewfsctl umount --id=ID [DIR…]\n"
	     "\n"
	     "Unmounts every view at DIR, dead or alive, in use or not, and ends the process that\n"
	     "serves it, even where another mount namespace still has the view. A view, or a file\n"
	     "of it, that is also mounted elsewhere in this namespace stays there. Cannot block "
	     "on\n"
	     "a hung view. Succeeds if nothing is mounted at DIR, or DIR does not exist. Root can\n"
	     "unmount other users' views.\n"
	     "\n"
	     "      --id=ID    every view of root or the caller with that id, wherever it is\n"
	     "                 mounted, and also one that is mounted in no place of this\n"
	     "                 namespace. Of an id of 64 digits the first 12 are enough. Succeeds\n"
	     "                 if there is none\n"
	     "  -h, --help     this text\n"
	     "  -V, --version  the version, and what this build and this kernel can do\n"
	     "\n"
	     "Exit status: 0, 1 usage, 2 system, 32 a view could not be unmounted.");
}

/* The places that are cleared. */
struct endings {
	struct ending *items; /* owned */
	size_t count, capacity;
};

static void endings_free(struct endings *endings)
{
	endings_done(endings->items, endings->count);
	free(endings->items);
}
DEFINE_CLEANUP(struct endings, endings_free)

static int endings_add(struct endings *endings, const char *path, dev_t device)
{
	struct ending *items =
		array_grow(endings->items, endings->count, &endings->capacity, sizeof(*items));

	if (!items)
		return -ENOMEM;
	endings->items = items;
	endings->items[endings->count++] = (struct ending){.path = path, .device = device};
	return 0;
}

/* Removes what is at the places. Returns: 0, or < 0 with *error*. */
static int end_places(struct endings *endings, int *failed, struct view_error *error)
{
	if (views_end(endings->items, endings->count) < 0)
		return view_fail(error, MSG_NO_MEMORY);
	for (size_t i = 0; i < endings->count; i++) {
		if (endings->items[i].error)
			ctl_goes_on(endings->items[i].error, failed);
	}
	return 0;
}

/* Ends a view that is mounted in no place of this namespace. */
static void end_elsewhere(const struct listed_view *view, const char *id, int *failed)
{
	int r = view_process_end(view->pid, view->entry.device);
	VIEW_ERROR(error);

	if (r < 0) {
		view_fail(&error, MSG_STAYS, id, view->pid, strerror(-r));
		ctl_goes_on(&error, failed);
	}
}

/* The views of an id: adds the places of those that are mounted, and ends the others. */
static int find_id(const struct views *views, const char *id, struct endings *endings, int *failed)
{
	for (size_t i = 0; i < views->count; i++) {
		const struct listed_view *view = &views->items[i];
		int r;

		if (!ctl_is_id(json_string(view->answer.ready, "id"), id))
			continue;
		if (!view->mounted) {
			end_elsewhere(view, id, failed);
			continue;
		}
		r = endings_add(endings, view->entry.mountpoint, view->entry.device);
		if (r < 0)
			return r;
	}
	return 0;
}

static int umount_run(const struct ctl_call *call, struct view_error *error)
{
	cleanup_with(endings_free) struct endings endings = {};
	cleanup_with(views_done) struct views views = {};
	cleanup_free char *id = call->id ? name_printable(call->id) : NULL;
	int failed = 0, r = call->id && !id ? -ENOMEM : 0;

	for (char **directory = call->operands; r == 0 && *directory; directory++)
		r = endings_add(&endings, *directory, 0);
	if (r == 0 && id)
		r = views_read(VIEWS_ELSEWHERE, &views);
	if (r == 0 && id)
		r = find_id(&views, id, &endings, &failed);
	if (r < 0)
		return view_fail(error, MSG_SYSTEM, "umount", strerror(-r));
	if (end_places(&endings, &failed, error) < 0)
		return -ECANCELED;
	return failed;
}

const struct ctl_command ctl_umount = {
	.name = "umount",
	.summary = "unmount views, dead or alive, and end their processes",
	.print_help = umount_print_help,
	.run = umount_run,
	.id = true,
	.operands = "DIR",
	.capabilities = CTL_END_VIEWS,
};
