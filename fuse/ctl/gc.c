/* SPDX-License-Identifier: Apache-2.0 */
/* viewfsctl gc: remove dead views and useless index entries. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/messages.h"
#include "fuse/base/text.h"
#include "fuse/ctl/ctl.h"
#include "fuse/ctl/index-entries.h"
#include "fuse/live/views.h"
#include "fuse/mount/mountpoint.h"
#include "fuse/process/run-with-timeout.h"
#include "fuse/view/index-policy.h"

enum { PLACE_SECONDS = 5 };

static void gc_print_help(void)
{
	puts("Usage: viewfsctl gc [--dry-run]\n"
	     "\n"
	     "Removes dead views (mounts whose process is gone) and useless index entries: "
	     "entries\n"
	     "of removed layers, damaged entries, and temporary files of writers that died. "
	     "Prints\n"
	     "what it removed. Keeps every view whose process is alive or not visible from here,\n"
	     "and every entry that a view may use. May run at any time, also from a timer.\n"
	     "\n"
	     "      --dry-run  only print what would be removed\n"
	     "  -h, --help     this text\n"
	     "  -V, --version  the version, and what this build and this kernel can do\n"
	     "\n"
	     "Exit status: 0, 1 usage, 2 system, 32 a view could not be removed.");
}

/* Removes one view, if it is still there and dead. Returns: errno, as an exit status. */
static int remove_dead(void *argument)
{
	cleanup_close int fd = view_mount_open(argument);

	if (fd < 0)
		return -fd;
	if (!mountpoint_is_dead(fd))
		return ESTALE;
	return -mountpoint_detach_fd(fd);
}

/* Removes a dead view, if it is still one, and says so. Returns: 0, or < 0 with *error*. */
static int collect_view(struct view_mount *mount, bool dry_run, size_t *removed,
			struct view_error *error)
{
	cleanup_free char *shown = name_printable(mount->entry.mountpoint);
	int r;

	if (!shown)
		return view_fail(error, MSG_NO_MEMORY);
	r = dry_run ? 0 : run_with_timeout(remove_dead, mount, PLACE_SECONDS);
	/* Gone, or replaced by a live one meanwhile. */
	if (r == ESTALE || r == ENOENT || r == EINVAL)
		return 0;
	if (r != 0)
		return view_fail(error, MSG_UNMOUNT, mount->entry.mountpoint,
				 strerror(r < 0 ? -r : r));
	printf("%s dead view '%s'\n", dry_run ? "would remove" : "removed", shown);
	++*removed;
	return 0;
}

/* All that can be seen of them now. Returns: 0, or < 0 with *error*. */
static int collect_views_once(bool dry_run, size_t *removed, int *status, struct view_error *error)
{
	cleanup_with(views_done) struct views views = {};
	int r = views_read(&views);

	if (r < 0)
		return view_fail(error, MSG_SYSTEM, "gc", strerror(-r));
	/* From the topmost on. */
	for (size_t i = views.count; i > 0; i--) {
		VIEW_ERROR(failure);

		if (views.items[i - 1].state == MOUNT_DEAD &&
		    collect_view(&views.items[i - 1], dry_run, removed, &failure) < 0)
			ctl_goes_on(&failure, status);
	}
	return 0;
}

static int collect_views(bool dry_run, int *status, struct view_error *error)
{
	size_t removed;
	int r;

	/* What another one covers cannot be asked whether it is dead before that is gone. */
	do {
		removed = 0;
		r = collect_views_once(dry_run, &removed, status, error);
	} while (r == 0 && removed > 0 && *status == 0 && !dry_run);
	return r;
}

/* Returns: 0, or < 0 with *error*. */
static int collect_entry(const struct li_index *index, const char *directory,
			 const struct li_index_entry *entry, bool dry_run, struct view_error *error)
{
	cleanup_free char *layer = name_printable(entry->layer);
	int r = layer ? 0 : -ENOMEM;

	if (r == 0 && !dry_run)
		r = li_index_remove(index, entry->name);
	if (r < 0)
		return view_fail(error, MSG_INDEX_REMOVE, directory, entry->name, strerror(-r));
	printf("%s %s index entry %s%s%s%s\n", dry_run ? "would remove" : "removed",
	       index_state_name(entry->state), entry->name, *layer ? " of '" : "", layer,
	       *layer ? "'" : "");
	return 0;
}

/* Of this user's own index. */
static int collect_entries(bool dry_run, int *status, struct view_error *error)
{
	cleanup_with(index_entries_done) struct index_entries entries = {};
	cleanup_free char *directory = index_default_directory();

	/* Without an index there is nothing to do. */
	if (!directory)
		return 0;
	if (index_entries_read(directory, &entries, error) < 0)
		return -ECANCELED;
	for (size_t i = 0; i < entries.count; i++) {
		VIEW_ERROR(failure);

		if (index_entry_is_useless(&entries.items[i]) &&
		    collect_entry(entries.index, directory, &entries.items[i], dry_run, &failure) <
			    0)
			ctl_goes_on(&failure, status);
	}
	return 0;
}

/* Failures are said as they come: one does not keep the rest from being collected. */
static int gc_run(const struct ctl_call *call, struct view_error *error)
{
	static int (*const collectors[])(bool dry_run, int *status, struct view_error *error) = {
		collect_views,
		collect_entries,
	};
	int status = 0;

	(void)error;
	for (size_t i = 0; i < sizeof(collectors) / sizeof(*collectors); i++) {
		VIEW_ERROR(failure);

		if (collectors[i](call->dry_run, &status, &failure) < 0)
			ctl_goes_on(&failure, &status);
	}
	return status;
}

const struct ctl_command ctl_gc = {
	.name = "gc",
	.summary = "remove dead views, and index entries of removed layers",
	.print_help = gc_print_help,
	.run = gc_run,
	.dry_run = true,
};
