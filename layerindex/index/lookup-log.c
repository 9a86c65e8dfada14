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

struct probe *lookup_log_probe(struct lookup_log *log, const char *path)
{
	struct probe *row;

	for (size_t i = 0; i < log->count; i++)
		if (strcmp(log->items[i].path, path) == 0)
			return &log->items[i];
	if (log->count == FACTS_MAX)
		return NULL;
	if (!log->items)
		log->items = calloc(FACTS_MAX, sizeof(*log->items));
	if (!log->items)
		return NULL;
	row = &log->items[log->count];
	row->path = strdup(path);
	row->results = calloc(log->layers, sizeof(*row->results));
	if (!row->path || !row->results) {
		free(TAKE_PTR(row->path));
		free(TAKE_PTR(row->results));
		return NULL;
	}
	log->count++;
	return row;
}

/* The first *length* bytes of a path. */
static const struct probe *probe_find(const struct lookup_log *log, const char *path, size_t length)
{
	for (size_t i = 0; i < log->count; i++) {
		const char *found = log->items[i].path;

		if (strncmp(found, path, length) == 0 && !found[length])
			return &log->items[i];
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
 * Returns: > 0: the merge of this name ends here; 0: it goes on; < 0: unknown.
 */
static int merge_layer(struct walk *walk, const struct probe *row, size_t i, struct fact *ret)
{
	bool found = ret->kind != FACT_ABSENT;
	enum probe_result seen = row->results[i];

	walk->in[i] = seen == PROBE_DIRECTORY || seen == PROBE_LAST_DIRECTORY;
	if (seen == PROBE_NOTHING || (seen == PROBE_HIDDEN && !found))
		return -ENODATA;
	if (walk->in[i] && !found)
		*ret = (struct fact){.kind = FACT_DIRECTORY, .layer = (uint32_t)(i - walk->first)};
	if (seen == PROBE_LEAF && !found)
		*ret = (struct fact){.kind = FACT_LEAF,
				     .layer = (uint32_t)(i - walk->first),
				     .stamp = row->leaf};
	return seen != PROBE_ABSENT && seen != PROBE_DIRECTORY;
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
static int walk_step(struct walk *walk, const struct probe *row, const char *path, struct fact *ret)
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
static int conclude(const struct lookup_log *log, struct walk *walk, const char *path,
		    struct fact *ret)
{
	size_t length = 0;

	for (size_t i = 0; i < walk->known; i++)
		walk->in[i] = true;
	walk->in_below = walk->known < log->layers;
	for (;;) {
		const struct probe *row;
		cleanup_free char *prefix = NULL;
		int r;

		length += strcspn(path + length, "/");
		prefix = strndup(path, length);
		if (!prefix)
			return -ENOMEM;
		row = probe_find(log, path, length);
		r = row ? walk_step(walk, row, prefix, ret) : -ENODATA;
		if (r < 0 || !path[length])
			return r;
		if (ret->kind != FACT_DIRECTORY)
			return -ENODATA;
		length++;
	}
}

int lookup_log_conclude(const struct lookup_log *log, size_t first, size_t known,
			const struct facts *below, struct facts *ret)
{
	struct walk walk = {.below = below, .first = first, .known = known};
	cleanup_free bool *in = calloc(known, sizeof(*in));

	if (!in)
		return -ENOMEM;
	walk.in = in;
	for (size_t i = 0; i < log->count; i++) {
		const char *path = log->items[i].path;
		struct fact fact;
		int r = conclude(log, &walk, path, &fact);

		if (r == 0 && !facts_find(ret, path))
			r = facts_add(ret, path, &fact);
		if (r < 0 && r != -ENODATA && r != -E2BIG)
			return r;
	}
	return 0;
}

void lookup_log_done(struct lookup_log *log)
{
	for (size_t i = 0; i < log->count; i++) {
		free(log->items[i].path);
		free(log->items[i].results);
	}
	free(TAKE_PTR(log->items));
	log->count = 0;
}
