/* SPDX-License-Identifier: Apache-2.0 */
/* An index as its supervisor sees it: what is in it, what of that is of use, and what has to go. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layerindex/array.h"
#include "layerindex/descriptor.h"
#include "layerindex/file/new-file.h"
#include "layerindex/index/index.h"

enum {
	INDEX_BYTES_KEPT = LI_INDEX_BYTES_MAX / 4 * 3, /* after the limit was reached */
};

static bool is_hexadecimal(const char *text, size_t n)
{
	return strlen(text) == n && strspn(text, "0123456789abcdef") == n;
}

/*
 * Calls *visit* for each file with the name of an entry. Other files do not belong to the
 * index. Returns: 0, or -errno.
 */
static int each_name(const struct li_index *index,
		     void (*visit)(const char *name, const struct stat *st, void *context),
		     void *context)
{
	cleanup_with(close_directory) DIR *stream = open_directory(index->fd, ".");
	const struct dirent *found;

	if (!stream)
		return -errno;
	while ((errno = 0, found = readdir(stream))) {
		struct stat st;

		if (!is_hexadecimal(found->d_name, CHAIN_KEY_NAME) &&
		    !new_file_is_temporary(found->d_name))
			continue;
		if (fstatat(index->fd, found->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			visit(found->d_name, &st, context);
	}
	return -errno;
}

/*
 * Whether the layer on top is still the one that the facts are about. Its mount may be another one
 * for a view: they may live in another mount namespace than the index's supervisor.
 */
static bool is_current(const struct chain *chain, const struct facts *facts)
{
	struct identity identity;
	struct statx stx;

	return statx(AT_FDCWD, facts->strings + chain->top_path, AT_STATX_DONT_SYNC,
		     identity_mask(), &stx) == 0 &&
	       identity_of_directory(&stx, &identity) == 0 &&
	       identity_is_same_directory(&identity, &chain->top);
}

struct visitor {
	const struct li_index *index;
	void (*visit)(const struct li_index_entry *entry, void *context);
	void *context;
};

static void visit_entry(const char *name, const struct stat *st, void *context)
{
	const struct visitor *visitor = context;
	cleanup_with(facts_done) struct facts facts = {};
	struct li_index_entry entry = {
		.name = name,
		.state = LI_ENTRY_TEMPORARY,
		.bytes = (uint64_t)st->st_blocks * 512,
		.used = st->st_mtim,
		.layer = "",
	};
	struct chain chain;

	if (!new_file_is_temporary(name)) {
		int r = index_read(visitor->index, name, &chain, &facts);

		if (r == -ENOENT)
			return;
		entry.state = LI_ENTRY_DAMAGED;
		if (r == 0) {
			entry.layers = chain.layers;
			entry.paths = facts.count;
			entry.layer = facts.strings + chain.top_path;
			entry.state =
				is_current(&chain, &facts) ? LI_ENTRY_CURRENT : LI_ENTRY_STALE;
		}
	}
	visitor->visit(&entry, visitor->context);
}

int li_index_each(const struct li_index *index,
		  void (*visit)(const struct li_index_entry *entry, void *context), void *context)
{
	struct visitor visitor = {index, visit, context};

	return each_name(index, visit_entry, &visitor);
}

struct name_visitor {
	void (*visit)(const char *name, void *context);
	void *context;
};

static void visit_name(const char *name, const struct stat *st, void *context)
{
	const struct name_visitor *visitor = context;

	(void)st;
	visitor->visit(name, visitor->context);
}

int li_index_each_name(const struct li_index *index, void (*visit)(const char *name, void *context),
		       void *context)
{
	struct name_visitor visitor = {visit, context};

	return each_name(index, visit_name, &visitor);
}

int li_index_remove(const struct li_index *index, const char *name)
{
	return unlinkat(index->fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

struct use {
	char name[CHAIN_KEY_NAME + 1];
	struct timespec time;
	uint64_t bytes;
};

struct uses {
	struct use *items;
	size_t count, capacity;
	uint64_t bytes;
};

static void add_use(const char *name, const struct stat *st, void *context)
{
	struct uses *uses = context;
	size_t length = strlen(name);
	struct use *items, *use;

	uses->bytes += (uint64_t)st->st_blocks * 512;
	items = array_grow(uses->items, uses->count, &uses->capacity, sizeof(*items));
	if (!items)
		return;
	uses->items = items;
	use = &items[uses->count++];
	*use = (struct use){.time = st->st_mtim, .bytes = (uint64_t)st->st_blocks * 512};
	if (length < sizeof(use->name))
		memcpy(use->name, name, length);
}

static int compare_uses(const void *a, const void *b)
{
	const struct timespec *one = &((const struct use *)a)->time;
	const struct timespec *other = &((const struct use *)b)->time;

	if (one->tv_sec != other->tv_sec)
		return one->tv_sec < other->tv_sec ? -1 : 1;
	return (one->tv_nsec > other->tv_nsec) - (one->tv_nsec < other->tv_nsec);
}

void index_trim(const struct li_index *index)
{
	struct uses uses = {};

	if (each_name(index, add_use, &uses) == 0 && uses.items &&
	    uses.bytes > LI_INDEX_BYTES_MAX) {
		qsort(uses.items, uses.count, sizeof(*uses.items), compare_uses);
		for (size_t i = 0; i < uses.count && uses.bytes > INDEX_BYTES_KEPT; i++)
			if (li_index_remove(index, uses.items[i].name) == 0)
				uses.bytes -= uses.items[i].bytes;
	}
	free(uses.items);
}
