/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ctl/index-entries.h"

#include <errno.h>
#include <string.h>

#include "fuse/base/messages.h"
#include "layerindex/array.h"

enum { WRITING_SECONDS = 60 }; /* far more than it takes to write an entry */

/* Keeps a text. Returns: it, borrowed, or NULL without memory. */
static const char *entries_keep_text(struct index_entries *entries, const char *text)
{
	if (strings_take(&entries->texts, strdup(text)) < 0)
		return NULL;
	return entries->texts.items[entries->texts.count - 1];
}

static int entries_add(struct index_entries *entries, const struct li_index_entry *entry)
{
	struct li_index_entry added = *entry, *items;

	added.name = entries_keep_text(entries, entry->name);
	added.layer = entries_keep_text(entries, entry->layer);
	if (!added.name || !added.layer)
		return -ENOMEM;
	items = array_grow(entries->items, entries->count, &entries->capacity, sizeof(*items));
	if (!items)
		return -ENOMEM;
	entries->items = items;
	entries->items[entries->count++] = added;
	entries->bytes += entry->bytes;
	return 0;
}

struct reader {
	struct index_entries *entries;
	int r;
};

static void entries_take(const struct li_index_entry *entry, void *context)
{
	struct reader *reader = context;

	if (reader->r == 0)
		reader->r = entries_add(reader->entries, entry);
}

static int entries_compare(const void *a, const void *b)
{
	const struct li_index_entry *one = a, *other = b;

	if (one->used.tv_sec != other->used.tv_sec)
		return one->used.tv_sec > other->used.tv_sec ? -1 : 1;
	if (one->used.tv_nsec != other->used.tv_nsec)
		return one->used.tv_nsec > other->used.tv_nsec ? -1 : 1;
	return strcmp(one->name, other->name);
}

/* Describes why an index cannot be read; that it is missing is no failure. */
static int entries_check(const char *directory, int r, struct view_error *error)
{
	if (r == -EPERM)
		return view_fail(error, MSG_INDEX_UNSAFE, directory);
	if (r < 0 && r != -ENOENT)
		return view_fail(error, MSG_INDEX, directory, strerror(-r));
	return 0;
}

int index_entries_read(const char *directory, struct index_entries *ret, struct view_error *error)
{
	cleanup_with(index_entries_done) struct index_entries entries = {};
	struct reader reader = {&entries, 0};
	int r = li_index_open(directory, 0, &entries.index);

	if (r == 0)
		r = li_index_each(entries.index, entries_take, &reader);
	if (r == 0)
		r = reader.r;
	if (entries_check(directory, r, error) < 0)
		return -ECANCELED;
	if (entries.count > 0)
		qsort(entries.items, entries.count, sizeof(*entries.items), entries_compare);
	*ret = entries;
	entries = (struct index_entries){};
	return 0;
}

struct remover {
	const char *directory;
	const struct li_index *index;
	size_t removed;
	struct view_error *error;
};

static void entries_remove_name(const char *name, void *context)
{
	struct remover *remover = context;
	int r = li_index_remove(remover->index, name);

	remover->removed += r == 0;
	if (r < 0)
		view_fail(remover->error, MSG_INDEX_REMOVE, remover->directory, name, strerror(-r));
}

int index_entries_remove(const char *directory, size_t *ret, struct view_error *error)
{
	cleanup_with(index_entries_done) struct index_entries entries = {};
	struct remover remover = {.directory = directory, .error = error};
	int r = li_index_open(directory, 0, &entries.index);

	remover.index = entries.index;
	if (r == 0)
		r = li_index_each_name(entries.index, entries_remove_name, &remover);
	*ret = remover.removed;
	return entries_check(directory, r, error);
}

void index_entries_done(struct index_entries *entries)
{
	strings_clear(&entries->texts);
	free(entries->items);
	li_index_close(entries->index);
	*entries = (struct index_entries){};
}

const char *index_state_name(enum li_entry_state state)
{
	static const char *const names[] = {
		[LI_ENTRY_CURRENT] = "current",
		[LI_ENTRY_STALE] = "stale",
		[LI_ENTRY_DAMAGED] = "damaged",
		[LI_ENTRY_TEMPORARY] = "temporary",
	};

	return names[state];
}

bool index_entry_is_useless(const struct li_index_entry *entry)
{
	if (entry->state == LI_ENTRY_TEMPORARY)
		return entry->used.tv_sec + WRITING_SECONDS < time(NULL);
	return entry->state != LI_ENTRY_CURRENT;
}
