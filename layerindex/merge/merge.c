/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The merge of one name is fs/overlayfs/namei.c, ovl_lookup(), for lower layers: from the top, a
 * whiteout or a non-directory ends it, directories are collected, an opaque one is the last; and
 * only layers that make up the parent are asked. Where an index speaks for the layers from
 * stack->known on, they are one: the first of them stands for all in a position.
 */
#include "layerindex/merge/merge.h"

#include <errno.h>
#include <fcntl.h>

#include "layerindex/layer/overlay-xattrs.h"
#include "layerindex/layer/whiteout.h"
#include "layerindex/merge/stack-index.h"

static int entry_class(struct li_stack *stack, const struct entry *entry, bool last,
		       enum entry_class *ret)
{
	struct entry_facts facts = {
		.mode = entry->st.st_mode,
		.rdev = entry->st.st_rdev,
		.size = entry->st.st_size,
	};
	unsigned wanted = overlay_xattrs_wanted(&facts, last);

	if (wanted) {
		int r = overlay_xattrs_read(entry->fd, wanted, stack->userxattr,
					    S_ISDIR(facts.mode), &facts.marks, &stack->met_mark);
		if (r < 0)
			return r;
	}
	*ret = entry_classify(&facts);
	stack->met_mark = *ret == ENTRY_REFUSED;
	return 0;
}

/* The last layer that takes part in *at*: there is always one. */
static size_t last_layer(const struct li_stack *stack, const struct cursor *at)
{
	size_t i = stack->size;

	while (i-- > 0)
		if (at->member_depth[i] >= at->depth)
			return i;
	return 0;
}

static void note(struct probe *row, size_t i, enum probe_result seen, const struct entry *entry)
{
	if (!row)
		return;
	row->results[i] = (uint8_t)seen;
	if (seen == PROBE_LEAF)
		row->leaf = stamp_of(&entry->st);
}

static enum probe_result seen_as(enum entry_class class)
{
	switch (class) {
	case ENTRY_WHITEOUT: return PROBE_WHITEOUT;
	case ENTRY_LEAF: return PROBE_LEAF;
	case ENTRY_DIR: return PROBE_DIRECTORY;
	case ENTRY_DIR_LAST: return PROBE_LAST_DIRECTORY;
	case ENTRY_REFUSED: break;
	}
	return PROBE_NOTHING;
}

static bool is_found(const struct entry *entry)
{
	return entry->st.st_mode != 0;
}

static void take_entry(struct entry *to, struct entry *from)
{
	*to = *from;
	from->fd = -EBADF;
}

/*
 * Takes layer *i*'s part of the name at->path, in the directory of *depth*, into account.
 * Returns: > 0 when the merge of this name ends here, 0 when it goes on below, or an error.
 */
static int merge_layer(struct li_stack *stack, struct cursor *at, size_t i, bool last,
		       struct probe *row, struct entry *found)
{
	cleanup_with(entry_done) struct entry entry = ENTRY_INIT;
	enum entry_class class = ENTRY_REFUSED;
	int r;

	r = stack_open_entry(stack, i, at->path, &entry);
	if (r == -ENOENT || r == -ENAMETOOLONG) {
		note(row, i, PROBE_ABSENT, &entry);
		return 0;
	}
	if (r < 0)
		return r;
	/* A file below a directory: hidden, whatever it is, and it hides what is below. */
	if (is_found(found) && !S_ISDIR(entry.st.st_mode)) {
		note(row, i, PROBE_HIDDEN, &entry);
		return 1;
	}
	r = entry_class(stack, &entry, last, &class);
	if (r < 0)
		return r;
	note(row, i, seen_as(class), &entry);
	if (class == ENTRY_REFUSED)
		return -EPERM;
	if (class == ENTRY_WHITEOUT)
		return 1;
	if (S_ISDIR(entry.st.st_mode))
		at->member_depth[i] = at->depth + 1;
	if (!is_found(found))
		take_entry(found, &entry);
	return class != ENTRY_DIR;
}

/* Opens what the index says is there. Returns: 0; -ENODATA: it is not, or not any more. */
static int open_known(struct li_stack *stack, const struct cursor *at, const struct fact *fact,
		      struct entry *ret)
{
	cleanup_with(entry_done) struct entry entry = ENTRY_INIT;

	if (stack_open_entry(stack, stack->known + fact->layer, at->path, &entry) < 0 ||
	    S_ISDIR(entry.st.st_mode) || !stamp_matches(&fact->stamp, &entry.st)) {
		stack_index_forget(stack, true);
		return -ENODATA;
	}
	take_entry(ret, &entry);
	return 0;
}

/*
 * The same for all layers that the index speaks for, whose part is that of one. Nothing is opened
 * for a directory. Returns: 0; -ENODATA: the index is of no use, ask all of them.
 */
static int merge_known(struct li_stack *stack, struct cursor *at, struct entry *found)
{
	const struct fact *fact = stack_index_fact(stack, at->path);

	if (!fact) {
		stack_index_forget(stack, false);
		return -ENODATA;
	}
	if (fact->kind == FACT_ABSENT || (fact->kind == FACT_LEAF && is_found(found)))
		return 0;
	if (fact->kind == FACT_LEAF)
		return open_known(stack, at, fact, found);
	at->member_depth[stack->known] = at->depth + 1;
	if (!is_found(found))
		*found = (struct entry){
			.fd = -EBADF, .st.st_mode = S_IFDIR, .layer = stack->known + fact->layer};
	return 0;
}

/* Whether the layers that the index speaks for take part in *at*. */
static bool is_known_below(const struct li_stack *stack, const struct cursor *at)
{
	return stack->known < stack->size && at->member_depth[stack->known] >= at->depth;
}

int merge_lookup(struct li_stack *stack, struct cursor *at, const char *name, struct entry *ret)
{
	cleanup_with(entry_done) struct entry found = ENTRY_INIT;
	size_t length = at->length;
	size_t last = last_layer(stack, at);
	struct probe *row;
	int r;

	r = cursor_append(at, name);
	row = r == 0 ? stack_index_row(stack, at->path) : NULL;
	for (size_t i = 0; r == 0 && i <= last && i < stack->known; i++)
		if (at->member_depth[i] >= at->depth)
			r = merge_layer(stack, at, i, i == last, row, &found);
	if (r == 0 && is_known_below(stack, at))
		r = merge_known(stack, at, &found);
	if (r < 0)
		return r;
	if (!is_found(&found))
		return -ENOENT;
	if (S_ISDIR(found.st.st_mode))
		at->depth++;
	else
		cursor_take_back(at, length);
	take_entry(ret, &found);
	return 0;
}

/* The layer that has the topmost part of the directory *at*. */
static size_t topmost_layer(const struct li_stack *stack, const struct cursor *at)
{
	const struct fact *fact;
	size_t i = 0;

	while (i < stack->known && at->member_depth[i] < at->depth)
		i++;
	if (i < stack->known || at->depth == 0)
		return i;
	fact = stack_index_fact(stack, at->path);
	return i + (fact ? fact->layer : 0);
}

int merge_self(struct li_stack *stack, const struct cursor *at, struct entry *ret)
{
	bool known = stack->known < stack->size;
	int r = stack_open_entry(stack, topmost_layer(stack, at), at->path, ret);

	if (r < 0 && known) {
		stack_index_forget(stack, true);
		return -ENODATA;
	}
	return r;
}

int merge_search(struct li_stack *stack, const struct cursor *at)
{
	cleanup_with(entry_done) struct entry self = ENTRY_INIT;
	cleanup_close int fd = -EBADF;
	int r = merge_self(stack, at, &self);

	if (r < 0)
		return r;
	/* Even "." takes search permission. */
	fd = openat(self.fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : 0;
}
