/* SPDX-License-Identifier: Apache-2.0 */
/* viewfsctl gc: remove dead views and useless index entries. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/messages.h"
#include "fuse/base/text.h"
#include "fuse/ctl/ctl.h"
#include "fuse/ctl/index-entries.h"
#include "fuse/ctl/store.h"
#include "fuse/live/views.h"
#include "fuse/mount/mountpoint.h"
#include "fuse/process/run-with-timeout.h"
#include "fuse/source/image.h"
#include "fuse/view/index-policy.h"

enum { STORE_AGE_SECONDS = 30 * 86400 };

enum { PLACE_SECONDS = 5 };

static void gc_print_help(void)
{
	puts("Usage: viewfsctl gc [--dry-run] [-o OPTIONS]\n"
	     "\n"
	     "Removes dead views (mounts whose process is gone) and useless index entries: "
	     "entries\n"
	     "of removed layers, damaged entries, and temporary files of writers that died. "
	     "Prints\n"
	     "what it removed. Keeps every view whose process is alive or not visible from here,\n"
	     "and every entry that a view may use. May run at any time, also from a timer.\n"
	     "\n"
	     "From the artifact store it removes damaged and temporary files, objects that no "
	     "image\n"
	     "names, images that were not used for 30 days, and then the least recently used "
	     "images\n"
	     "until the store is no larger than store-size= and a tenth of the filesystem is "
	     "free.\n"
	     "It keeps files that any process has open.\n"
	     "\n"
	     "  -o OPTIONS     store=DIR and store-size=BYTES of urunc-viewfs(8)\n"
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
/* Files of a kind, as "2 images, ". */
static void print_some(size_t n, const char *one, const char *many)
{
	if (n > 0)
		printf("%zu %s, ", n, n == 1 ? one : many);
}

/* What is too old or too much in the artifact store. */
static int collect_stored(const struct ctl_call *call, struct view_error *error)
{
	const struct li_store_limits limits = {call->options.store_size, STORE_AGE_SECONDS};
	cleanup_free char *directory = store_directory_path(call->options.store);
	cleanup_with(store_close) struct li_store *store = NULL;
	cleanup_free char *shown = NULL;
	struct li_store_evicted evicted = {};
	int r = directory ? li_store_open(directory, false, &store) : -ENOENT;

	if (r == -EPERM)
		return view_fail(error, MSG_STORE_UNSAFE, directory);
	if (r == 0)
		r = li_store_evict(store, &limits, call->dry_run, &evicted);
	/* This user has no store, or another process evicts, or no process can write. */
	if (r == -ENOENT || r == -EACCES || r == -EAGAIN || r == -EROFS)
		return 0;
	if (r < 0)
		return view_fail(error, MSG_STORE, directory, strerror(-r));
	if (evicted.images + evicted.objects + evicted.temporary == 0)
		return 0;
	shown = text_printable(directory);
	if (!shown)
		return view_fail(error, MSG_NO_MEMORY);
	printf("%s ", call->dry_run ? "would remove" : "removed");
	print_some(evicted.images, "image", "images");
	print_some(evicted.objects, "object", "objects");
	print_some(evicted.temporary, "temporary file", "temporary files");
	printf("%" PRIu64 " kB from artifact store '%s'\n", evicted.bytes / 1024, shown);
	return 0;
}

static int gc_run(const struct ctl_call *call, struct view_error *error)
{
	static int (*const collectors[])(bool dry_run, int *status, struct view_error *error) = {
		collect_views,
		collect_entries,
	};
	VIEW_ERROR(store);
	int status = 0;

	(void)error;
	for (size_t i = 0; i < sizeof(collectors) / sizeof(*collectors); i++) {
		VIEW_ERROR(failure);

		if (collectors[i](call->dry_run, &status, &failure) < 0)
			ctl_goes_on(&failure, &status);
	}
	if (collect_stored(call, &store) < 0)
		ctl_goes_on(&store, &status);
	return status;
}

const struct ctl_command ctl_gc = {
	.name = "gc",
	.summary = "remove dead views, and useless entries of index and store",
	.print_help = gc_print_help,
	.run = gc_run,
	.dry_run = true,
	.options = true,
};
