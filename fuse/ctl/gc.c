/* SPDX-License-Identifier: Apache-2.0 */
/* viewfsctl gc: remove dead views and useless index entries. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/base/text.h"
#include "fuse/ctl/ctl.h"
#include "fuse/ctl/index-entries.h"
#include "fuse/live/views.h"
#include "fuse/mount/mountpoint.h"
#include "fuse/process/run-with-timeout.h"
#include "fuse/view/index-policy.h"

enum { PLACE_SECONDS = 5 };

static void print_help(void)
{
	puts("Usage: viewfsctl gc [--dry-run]\n"
	     "\n"
	     "Removes dead views: mounts whose process is gone; and entries of the layer index "
	     "that\n"
	     "are useless: entries of layers that are gone, damaged entries, and temporary files\n"
	     "of writers that died. Prints what it removed. Keeps every view whose process is\n"
	     "alive or not visible from here, and every entry that a view may use. May run at any\n"
	     "time, also by a timer.\n"
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

/* Returns: < 0: it was, or would be, removed; 0: there is nothing to do; > 0: the exit status. */
static int collect(struct view_mount *mount, bool dry_run)
{
	cleanup_free char *shown = text_printable(mount->entry.mountpoint);
	VIEW_ERROR(error);
	int r;

	if (!shown)
		return ctl_fail_errno("gc", -ENOMEM);
	if (dry_run) {
		printf("would remove dead view '%s'\n", shown);
		return -1;
	}
	r = run_with_timeout(remove_dead, mount, PLACE_SECONDS);
	/* Gone, or replaced by a live one meanwhile. */
	if (r == ESTALE || r == ENOENT || r == EINVAL)
		return 0;
	if (r != 0) {
		view_fail(&error, MSG_UNMOUNT, mount->entry.mountpoint, strerror(r < 0 ? -r : r));
		return ctl_fail("gc", &error);
	}
	printf("removed dead view '%s'\n", shown);
	return -1;
}

/* Returns: as collect(), for all of them. */
static int collect_once(bool dry_run)
{
	cleanup_with(views_done) struct views views = {};
	int r = views_read(&views);
	int result = 0;

	if (r < 0)
		return ctl_fail_errno("gc", r);
	/* From the topmost on. */
	for (size_t i = views.count; i > 0; i--) {
		if (views.items[i - 1].state != MOUNT_DEAD)
			continue;
		r = collect(&views.items[i - 1], dry_run);
		result = r > result || result == 0 ? r : result;
	}
	return result;
}

/* Returns: the exit status. */
static int collect_views(bool dry_run)
{
	int r;

	/* What another one covers cannot be asked whether it is dead before that is gone. */
	do
		r = collect_once(dry_run);
	while (r < 0 && !dry_run);
	return r < 0 ? 0 : r;
}

/* Returns: 0, or < 0 with *error*. */
static int collect_entry(const struct li_index *index, const char *directory,
			 const struct li_index_entry *entry, bool dry_run, struct view_error *error)
{
	cleanup_free char *layer = text_printable(entry->layer);
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

/* Of this user's own index. Returns: the exit status. */
static int collect_entries(bool dry_run)
{
	cleanup_with(index_entries_done) struct index_entries entries = {};
	cleanup_free char *directory = index_default_directory();
	VIEW_ERROR(error);

	/* Without an index there is nothing to do. */
	if (!directory || index_entries_read(directory, &entries, &error) < 0)
		return directory ? ctl_fail("gc", &error) : 0;
	for (size_t i = 0; i < entries.count; i++)
		if (index_entry_is_useless(&entries.items[i]))
			collect_entry(entries.index, directory, &entries.items[i], dry_run, &error);
	return error.code == CODE_NONE ? 0 : ctl_fail("gc", &error);
}

int ctl_gc(int argc, char **argv)
{
	/* What can be collected; each says what it does, and returns an exit status. */
	static int (*const collectors[])(bool dry_run) = {collect_views, collect_entries};
	static const struct ctl_usage words = {.dry_run = true, .print_help = print_help};
	struct ctl_call call;
	int failed = ctl_parse(argc, argv, &words, &call);

	if (failed >= 0)
		return failed;
	failed = 0;
	for (size_t i = 0; i < sizeof(collectors) / sizeof(*collectors); i++) {
		int r = collectors[i](call.dry_run);

		failed = failed ? failed : r;
	}
	return failed;
}
