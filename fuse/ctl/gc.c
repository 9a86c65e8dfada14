/* SPDX-License-Identifier: Apache-2.0 */
/* viewfsctl gc: remove dead views and useless index entries. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/base/clock.h"
#include "fuse/base/messages.h"
#include "fuse/base/text.h"
#include "fuse/ctl/ctl.h"
#include "fuse/ctl/index-entries.h"
#include "fuse/ctl/timed.h"
#include "fuse/live/end.h"
#include "fuse/live/views.h"
#include "fuse/process/sandbox.h"
#include "fuse/source/image.h"
#include "fuse/view/index-policy.h"

enum { STORE_AGE_SECONDS = 30 * 86400 };

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
	     "  -o OPTIONS     store=DIR, store-size=BYTES and timeout=SECONDS of urunc-viewfs(8)\n"
	     "      --dry-run  only print what would be removed\n"
	     "  -h, --help     this text\n"
	     "  -V, --version  the version, and what this build and this kernel can do\n"
	     "\n"
	     "Exit status: 0, 1 usage, 2 system, 32 a view could not be removed.");
}

/* The places where the dead views are, from the topmost on. Returns: owned, or NULL. */
static struct ending *find_dead(const struct views *views, size_t *ret_count)
{
	struct ending *endings = calloc(views->count + 1, sizeof(*endings));
	size_t n = 0;

	for (size_t i = views->count; endings && i > 0; i--)
		if (views->items[i - 1].state == VIEW_DEAD)
			endings[n++] = (struct ending){
				.path = views->items[i - 1].entry.mountpoint,
				.device = views->items[i - 1].entry.device,
				.only_dead = true,
			};
	*ret_count = n;
	return endings;
}

/* Says what became, or would become, of a dead view. Returns: 0 or -ENOMEM. */
static int report_view(const struct ending *ending, bool dry_run, size_t *removed, int *status)
{
	cleanup_free char *shown = name_printable(ending->path);

	if (!shown)
		return -ENOMEM;
	for (size_t i = 0; i < (dry_run ? 1 : ending->removed); i++)
		printf("%s dead view '%s'\n", dry_run ? "would remove" : "removed", shown);
	if (ending->error)
		ctl_goes_on(ending->error, status);
	*removed += ending->removed;
	return 0;
}

/* Views that no mount leads to are alive: what they are for is not known here. */
static void report_elsewhere(const struct views *views)
{
	size_t n = 0;

	for (size_t i = 0; i < views->count; i++)
		n += !views->items[i].mounted;
	if (n > 0)
		printf("kept %zu view%s that no mount of this namespace leads to: see 'viewfsctl "
		       "list --all'\n",
		       n, n == 1 ? "" : "s");
}

/* All that can be seen of them now. Returns: 0 or -errno. */
static int collect_views_once(bool dry_run, bool again, size_t *removed, int *status)
{
	cleanup_with(views_done) struct views views = {};
	unsigned scope = VIEWS_STRANGERS | (again ? 0 : VIEWS_ELSEWHERE);
	cleanup_free struct ending *endings = NULL;
	size_t n = 0;
	int r = views_read(scope, &views);

	if (r == 0)
		endings = find_dead(&views, &n);
	if (r == 0)
		r = !endings ? -ENOMEM : dry_run ? 0 : views_end(endings, n);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = report_view(&endings[i], dry_run, removed, status);
	if (endings)
		endings_done(endings, n);
	if (r == 0 && !again)
		report_elsewhere(&views);
	return r;
}

static int collect_views(bool dry_run, int *status, struct view_error *error)
{
	bool again = false;
	size_t removed;
	int r;

	/* What another one covers cannot be asked whether it is dead before that is gone. */
	do {
		removed = 0;
		r = collect_views_once(dry_run, again, &removed, status);
		again = true;
	} while (r == 0 && removed > 0 && *status == 0 && !dry_run);
	return r < 0 ? view_fail(error, MSG_SYSTEM, "gc", strerror(-r)) : 0;
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

/* Of this user's own index. Returns: the exit status, or < 0 with *error*. */
static int collect_entries(void *argument, struct view_error *error)
{
	const struct ctl_call *call = argument;
	cleanup_with(index_entries_done) struct index_entries entries = {};
	cleanup_free char *directory = index_default_directory();
	int status = 0;

	(void)capabilities_keep(CTL_READ_FILES);
	/* Without an index there is nothing to do. */
	if (!directory)
		return 0;
	if (index_entries_read(directory, &entries, error) < 0)
		return -ECANCELED;
	for (size_t i = 0; i < entries.count; i++) {
		VIEW_ERROR(failure);

		if (index_entry_is_useless(&entries.items[i]) &&
		    collect_entry(entries.index, directory, &entries.items[i], call->dry_run,
				  &failure) < 0)
			ctl_goes_on(&failure, &status);
	}
	return status;
}

/* Files of a kind, as "2 images, ". */
static void print_some(size_t n, const char *one, const char *many)
{
	if (n > 0)
		printf("%zu %s, ", n, n == 1 ? one : many);
}

/* What is too old or too much in the artifact store. Returns: 0, or < 0 with *error*. */
static int evict_stored(void *argument, struct view_error *error)
{
	const struct ctl_call *call = argument;
	const struct li_store_limits limits = {call->options.store_size, STORE_AGE_SECONDS};
	cleanup_free char *directory = store_directory_path(call->options.store);
	cleanup_with(li_store_done) struct li_store *store = NULL;
	cleanup_free char *shown = NULL;
	struct li_store_evicted evicted = {};
	int r;

	(void)capabilities_keep(CTL_READ_FILES);
	r = directory ? li_store_open(directory, false, &store) : -ENOENT;
	if (r == -EPERM)
		return view_fail(error, MSG_STORE_UNSAFE, directory);
	if (r == 0)
		r = li_store_evict(store, &limits, call->dry_run, &evicted);
	/* This user has no store, or another process evicts, or no process can write. */
	if (r == -ENOENT || r == -EACCES || r == -EAGAIN || r == -EROFS)
		return 0;
	if (r < 0)
		return view_fail(error, MSG_STORE, directory, strerror(-r));
	if (evicted.images + evicted.objects + evicted.layers + evicted.temporary == 0)
		return 0;
	shown = text_printable(directory);
	if (!shown)
		return view_fail(error, MSG_NO_MEMORY);
	printf("%s ", call->dry_run ? "would remove" : "removed");
	print_some(evicted.images, "image", "images");
	print_some(evicted.objects, "object", "objects");
	print_some(evicted.layers, "list of names", "lists of names");
	print_some(evicted.temporary, "temporary file", "temporary files");
	printf("%" PRIu64 " kB from artifact store '%s'\n", evicted.bytes / 1024, shown);
	return 0;
}

/*
 * Failures are said as they come: one does not keep the rest from being collected. That there is no
 * time left is said once.
 */
static int gc_run(const struct ctl_call *call, struct view_error *error)
{
	/* The index last, whose layers may not answer. */
	static int (*const collectors[])(void *argument, struct view_error *error) = {
		evict_stored,
		collect_entries,
	};
	const struct time_limit limit = {now_us(), call->options.timeout};
	struct ctl_call work = *call;
	int status = 0;
	VIEW_ERROR(views);

	(void)error;
	if (collect_views(call->dry_run, &status, &views) < 0)
		ctl_goes_on(&views, &status);
	for (size_t i = 0; i < sizeof(collectors) / sizeof(*collectors); i++) {
		VIEW_ERROR(failure);
		bool printed;
		int r = ctl_run_timed(collectors[i], &work, NULL, 0, &limit, &printed, &failure);

		if (r < 0)
			ctl_goes_on(&failure, &status);
		else if (status == 0)
			status = r;
		if (time_limit_us(&limit) <= now_us())
			break;
	}
	return status;
}

const struct ctl_command ctl_gc = {
	.name = "gc",
	.summary = "remove dead views, and useless entries of index and store",
	.print_help = gc_print_help,
	.run = gc_run,
	.dry_run = true,
	.options = true,
	.capabilities = CTL_END_VIEWS,
};
