/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/blob/partial.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "layerindex/blob/entry-check.h"

/* An entry as it is kept: its texts follow it, each with its NUL. */
struct kept_entry {
	size_t size; /* in memory */
	uint64_t number;
	struct tar_entry entry; /* without its texts */
	struct toc_range range;
	char texts[];
};

int partial_init(struct partial *partial, uint32_t count)
{
	int r;

	*partial = (struct partial){
		.count = count, .lowest = count, .small_layer_max = PARTIAL_SMALL_LAYER_MAX};
	r = apply_init(&partial->apply, true);
	if (r < 0)
		return r;
	sift_init(&partial->sift, &partial->apply.tree.key);
	partial->layers = calloc(count > 0 ? count : 1, sizeof(*partial->layers));
	if (partial->layers)
		return 0;
	partial_done(partial);
	return -ENOMEM;
}

static void forget_layer(struct partial *partial, uint32_t layer)
{
	struct kept_layer *kept = &partial->layers[layer];

	partial->size -= kept->size;
	free(kept->bytes);
	*kept = (struct kept_layer){.has_turned = kept->has_turned};
}

void partial_done(struct partial *partial)
{
	if (partial->layers)
		for (uint32_t i = 0; i < partial->count; i++)
			forget_layer(partial, i);
	free(partial->layers);
	sift_done(&partial->sift);
	apply_done(&partial->apply);
}

void partial_expect(struct partial *partial, const char *path)
{
	struct tree *tree = &partial->apply.tree;
	char clean[ROOT_PATH_SIZE];
	const char *rest = clean;
	uint32_t name = TREE_ROOT;
	int r = path_clean(path, clean);

	for (size_t n; r == 0 && *rest; rest += n + (rest[n] == '/')) {
		n = strcspn(rest, "/");
		if (n > 0)
			r = n <= NAME_MAX ? tree_name(tree, name, rest, n, &name) : -ENAMETOOLONG;
	}
}

/* What layers are sifted by: it only grows. */
static uint64_t version_of(const struct partial *partial)
{
	return 2 * (uint64_t)partial->apply.tree.name_count + partial->parents;
}

static int begin_layer(struct partial *partial, uint32_t layer)
{
	if (layer + 1 != partial->lowest && (layer < partial->lowest || layer >= partial->count))
		return -EINVAL;
	if (layer < partial->lowest)
		partial->lowest = layer;
	forget_layer(partial, layer);
	partial->layers[layer].is_whole = true;
	partial->layers[layer].version = version_of(partial);
	sift_begin(&partial->sift, partial->layers[layer].has_turned);
	partial->apply.layers = layer + 1;
	partial->apply.entry = 0;
	partial->apply.name = NULL;
	return 0;
}

static int make_room(struct kept_layer *layer, size_t size)
{
	size_t room = layer->room > 0 ? layer->room : 1024;
	char *bytes;

	while (room - layer->size < size)
		room *= 2;
	if (room == layer->room)
		return 0;
	bytes = realloc(layer->bytes, room);
	if (!bytes)
		return -ENOMEM;
	layer->bytes = bytes;
	layer->room = room;
	return 0;
}

static int keep(struct partial *partial, struct kept_layer *layer, const struct tar_entry *entry,
		const struct toc_range *range, size_t size)
{
	size_t name = strlen(entry->name) + 1, link = strlen(entry->link) + 1;
	struct kept_entry *kept;
	int r = make_room(layer, size);

	if (r < 0)
		return r;
	kept = (struct kept_entry *)(layer->bytes + layer->size);
	*kept = (struct kept_entry){
		.size = size, .number = partial->apply.entry, .entry = *entry, .range = *range};
	memcpy(kept->texts, entry->name, name);
	memcpy(kept->texts + name, entry->link, link);
	layer->size += size;
	partial->size += size;
	return 0;
}

/* Takes the next entry of a layer that is read. */
static int read_entry(struct partial *partial, uint32_t layer, const struct tar_entry *entry,
		      const struct toc_range *range)
{
	size_t size = sizeof(struct kept_entry) + strlen(entry->name) + strlen(entry->link) + 2;
	struct kept_layer *kept = &partial->layers[layer];
	int r;

	size = (size + sizeof(uint64_t) - 1) & ~(sizeof(uint64_t) - 1);
	partial->apply.name = entry->name;
	partial->apply.reason = entry_check(entry);
	if (partial->apply.reason)
		return -EBADMSG;
	r = sift_entry(&partial->sift, &partial->apply.tree, entry, partial->parents);
	if (r < 0)
		return r;
	kept->is_whole &= kept->size + size <= partial->small_layer_max &&
			  partial->size + size <= PARTIAL_SMALL_MAX;
	if (r == SIFT_NOTHING && !kept->is_whole)
		return 0;
	if (partial->size + size > PARTIAL_KEPT_MAX)
		return -E2BIG;
	return keep(partial, kept, entry, range, size);
}

/* The layer is complete. */
static int end_layer(struct partial *partial, uint32_t layer)
{
	struct kept_layer *kept = &partial->layers[layer];

	if (partial->sift.turned && !kept->has_turned) {
		kept->has_turned = true;
		kept->version = 0;
	}
	return 0;
}

/* How entries come: as layer_log_next() and toc_next(). */
typedef int next_entry(void *source, struct tar_entry *ret, struct toc_range *ret_range);

static int read_layer(struct partial *partial, uint32_t layer, next_entry *next, void *source,
		      const char *unusable)
{
	struct toc_range range = {};
	struct tar_entry entry;
	int r = begin_layer(partial, layer);

	for (; r == 0; partial->apply.entry++) {
		partial->apply.reason = unusable;
		partial->apply.name = NULL;
		r = next(source, &entry, &range);
		if (r <= 0)
			return r < 0 ? r : end_layer(partial, layer);
		r = read_entry(partial, layer, &entry, &range);
		if (r < 0)
			break;
	}
	return r;
}

static int next_of_log(void *log, struct tar_entry *ret, struct toc_range *ret_range)
{
	*ret_range = (struct toc_range){};
	return layer_log_next(log, ret);
}

int partial_read_log(struct partial *partial, uint32_t layer, struct layer_log *log)
{
	return read_layer(partial, layer, next_of_log, log,
			  "what is known of its names is unusable");
}

static int next_of_table(void *toc, struct tar_entry *ret, struct toc_range *ret_range)
{
	return toc_next(toc, ret, ret_range);
}

int partial_read_table(struct partial *partial, uint32_t layer, struct toc *toc)
{
	return read_layer(partial, layer, next_of_table, toc, "its table of contents is unusable");
}

/* Goes to the next entry that is kept. Returns: NULL: there is none. */
static const struct kept_entry *next_kept(const struct kept_layer *layer, size_t *at,
					  struct tar_entry *ret)
{
	const struct kept_entry *kept;

	if (*at == layer->size)
		return NULL;
	kept = (const struct kept_entry *)(layer->bytes + *at);
	*at += kept->size;
	*ret = kept->entry;
	ret->name = kept->texts;
	ret->link = kept->texts + strlen(kept->texts) + 1;
	return kept;
}

static int apply_kept(struct partial *partial, const struct kept_layer *layer)
{
	struct apply *apply = &partial->apply;
	const struct kept_entry *kept;
	struct tar_entry entry;
	size_t at = 0;

	apply_begin_layer(apply);
	apply->all_directories = layer->has_turned;
	sift_begin(&partial->sift, layer->has_turned);
	while ((kept = next_kept(layer, &at, &entry))) {
		int r = sift_entry(&partial->sift, &apply->tree, &entry, partial->parents);

		apply->entry = kept->number;
		apply->name = entry.name;
		if (r == SIFT_ENTRY)
			r = apply_entry(apply, &entry);
		else if (r == SIFT_PARENTS)
			r = apply_parents(apply, &entry);
		if (r < 0)
			return r;
	}
	return apply_end_layer(apply);
}

/* Applies what is kept of all layers, from the bottom. */
static int apply_all(struct partial *partial)
{
	int r = apply_restart(&partial->apply, partial->lowest);

	for (uint32_t i = partial->lowest; r == 0 && i < partial->count; i++)
		r = apply_kept(partial, &partial->layers[i]);
	return r;
}

/* Whether a layer was sifted by fewer names; *ret* is one. */
static bool find_stale(const struct partial *partial, uint32_t *ret)
{
	for (uint32_t i = partial->count; i-- > partial->lowest;) {
		*ret = i;
		if (!partial->layers[i].is_whole &&
		    partial->layers[i].version != version_of(partial))
			return true;
	}
	return false;
}

static void set_range(const struct partial *partial, struct partial_answer *answer)
{
	const struct kept_layer *layer = &partial->layers[answer->file->layer];
	const struct kept_entry *kept;
	struct tar_entry entry;
	size_t at = 0;

	answer->range = (struct toc_range){};
	while ((kept = next_kept(layer, &at, &entry)))
		if (kept->number == answer->file->entry)
			answer->range = kept->range;
}

/* Whether a path has a directory that no entry wrote. */
static bool has_made_directory(const struct tree *tree, const char *path)
{
	uint32_t name = path_find(tree, path);

	while (name != UINT32_MAX && name != TREE_ROOT) {
		name = tree->names[name].parent;
		if (name != TREE_ROOT && tree->names[name].written == 0)
			return true;
	}
	return false;
}

/* Whether directories that an entry makes for itself may change an answer. */
static bool depends_on_parents(const struct partial *partial, int r,
			       const struct partial_answer *answer)
{
	return !partial->parents &&
	       (r < 0 || answer->file->type != TREE_FILE || partial->apply.tree.climbed ||
		has_made_directory(&partial->apply.tree, answer->path));
}

int partial_find(struct partial *partial, const char *path, struct partial_answer *ret,
		 uint32_t *ret_layer)
{
	const struct tree *tree = &partial->apply.tree;
	int r;

	for (;;) {
		if (find_stale(partial, ret_layer))
			return -EAGAIN;
		r = apply_all(partial);
		if (r == 0)
			r = apply_find(&partial->apply, path, &ret->file, ret->path);
		if (r == -E2BIG || r == -ENOMEM)
			return r;
		if (tree->grown)
			continue;
		*ret_layer = partial->lowest - 1;
		if (tree->unknown)
			return -EAGAIN;
		if (!depends_on_parents(partial, r, ret))
			break;
		partial->parents = true;
	}
	if (r == 0 && ret->file->type == TREE_FILE)
		set_range(partial, ret);
	return r;
}
