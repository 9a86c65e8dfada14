/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The merge once more, over what is remembered of the layers instead of the layers: see merge.c.
 * A walk that was stopped by an upper layer did not ask those below, and nothing follows for them.
 */
#include "layerindex/index/lookup-log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct observation *observed_row(struct observed *observed, const char *path)
{
	struct observation *row;

	for (size_t i = 0; i < observed->count; i++)
		if (strcmp(observed->items[i].path, path) == 0)
			return &observed->items[i];
	if (observed->count == FACTS_MAX)
		return NULL;
	row = &observed->items[observed->count];
	row->path = strdup(path);
	row->seen = calloc(observed->layers, sizeof(*row->seen));
	if (!row->path || !row->seen) {
		free(TAKE_PTR(row->path));
		free(TAKE_PTR(row->seen));
		return NULL;
	}
	observed->count++;
	return row;
}

/* The first *length* bytes of a path. */
static const struct observation *find(const struct observed *observed, const char *path,
				      size_t length)
{
	for (size_t i = 0; i < observed->count; i++) {
		const char *found = observed->items[i].path;

		if (strncmp(found, path, length) == 0 && !found[length])
			return &observed->items[i];
	}
	return NULL;
}

/* A walk from the root down, for the layers from *first* on. */
struct walk {
	const struct facts *below;
	size_t first, known;
	bool *in;      /* which of the layers before *known* make up the directory */
	bool in_below; /* whether those from *known* on do */
};

/*
 * Takes layer *i*'s part into account; *ret* is what was found so far.
 * Returns: > 0: the merge of this name ends here; 0: it goes on; < 0: nobody knows.
 */
static int merge_layer(struct walk *walk, const struct observation *row, size_t i, struct fact *ret)
{
	bool found = ret->kind != FACT_ABSENT;
	enum seen seen = row->seen[i];

	walk->in[i] = seen == SEEN_DIRECTORY || seen == SEEN_LAST_DIRECTORY;
	if (seen == SEEN_NOTHING || (seen == SEEN_HIDDEN && !found))
		return -ENODATA;
	if (walk->in[i] && !found)
		*ret = (struct fact){.kind = FACT_DIRECTORY, .layer = (uint32_t)(i - walk->first)};
	if (seen == SEEN_LEAF && !found)
		*ret = (struct fact){.kind = FACT_LEAF,
				     .layer = (uint32_t)(i - walk->first),
				     .stamp = row->leaf};
	return seen != SEEN_ABSENT && seen != SEEN_DIRECTORY;
}

static int merge_below(struct walk *walk, const char *path, struct fact *ret)
{
	const struct fact *fact = facts_find(walk->below, path);

	if (!fact)
		return -ENODATA;
	walk->in_below = fact->kind == FACT_DIRECTORY;
	if (ret->kind == FACT_ABSENT) {
		*ret = *fact;
		ret->layer += (uint32_t)(walk->known - walk->first);
	}
	return 0;
}

/* Goes from the directory that *walk* is at to a name in it: *row*, whose path is *path*. */
static int step(struct walk *walk, const struct observation *row, const char *path,
		struct fact *ret)
{
	int r = 0;

	*ret = (struct fact){.kind = FACT_ABSENT};
	for (size_t i = walk->first; i < walk->known; i++) {
		if (!walk->in[i])
			continue;
		/* Hidden by those above. */
		if (r > 0)
			walk->in[i] = false;
		else
			r = merge_layer(walk, row, i, ret);
		if (r < 0)
			return r;
	}
	if (r > 0)
		walk->in_below = false;
	return walk->in_below ? merge_below(walk, path, ret) : 0;
}

/* Returns: 0, with *ret; -ENODATA: it does not follow; -ENOMEM. */
static int conclude(const struct observed *observed, struct walk *walk, const char *path,
		    struct fact *ret)
{
	size_t length = 0;

	for (size_t i = 0; i < walk->known; i++)
		walk->in[i] = true;
	walk->in_below = walk->known < observed->layers;
	for (;;) {
		const struct observation *row;
		cleanup_free char *prefix = NULL;
		int r;

		length += strcspn(path + length, "/");
		prefix = strndup(path, length);
		if (!prefix)
			return -ENOMEM;
		row = find(observed, path, length);
		r = row ? step(walk, row, prefix, ret) : -ENODATA;
		if (r < 0 || !path[length])
			return r;
		if (ret->kind != FACT_DIRECTORY)
			return -ENODATA;
		length++;
	}
}

int observed_conclude(const struct observed *observed, size_t first, size_t known,
		      const struct facts *below, struct facts *ret)
{
	struct walk walk = {.below = below, .first = first, .known = known};
	cleanup_free bool *in = calloc(known, sizeof(*in));

	if (!in)
		return -ENOMEM;
	walk.in = in;
	for (size_t i = 0; i < observed->count; i++) {
		const char *path = observed->items[i].path;
		struct fact fact;
		int r = conclude(observed, &walk, path, &fact);

		if (r == 0 && !facts_find(ret, path))
			r = facts_add(ret, path, &fact);
		if (r < 0 && r != -ENODATA && r != -E2BIG)
			return r;
	}
	return 0;
}

void observed_done(struct observed *observed)
{
	for (size_t i = 0; i < observed->count; i++) {
		free(observed->items[i].path);
		free(observed->items[i].seen);
	}
	observed->count = 0;
}
