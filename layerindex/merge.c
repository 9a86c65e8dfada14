/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The merge of one name is fs/overlayfs/namei.c, ovl_lookup(), for lower layers: from the top, a
 * whiteout or a non-directory ends it, directories are collected, an opaque one is the last; and
 * only layers that make up the parent are asked.
 */
#include "layerindex/merge.h"

#include <errno.h>
#include <fcntl.h>

#include "layerindex/marks.h"
#include "layerindex/stack.h"
#include "layerindex/whiteout.h"

static int entry_class(const struct li_stack *stack, const struct entry *entry, bool last,
		       enum entry_class *ret)
{
	struct entry_facts facts = {
		.mode = entry->st.st_mode,
		.rdev = entry->st.st_rdev,
		.size = entry->st.st_size,
	};
	unsigned wanted = marks_wanted(&facts, last);

	if (wanted) {
		int r = marks_read(entry->fd, wanted, stack->userxattr, S_ISDIR(facts.mode),
				   &facts.marks);
		if (r < 0)
			return r;
	}
	*ret = entry_classify(&facts);
	return 0;
}

/* The last layer that takes part in *at*: there is always one. */
static size_t last_layer(const struct li_stack *stack, const struct position *at)
{
	size_t i = stack->size;

	while (i-- > 0)
		if (at->reach[i] >= at->depth)
			return i;
	return 0;
}

/*
 * Takes layer *i*'s part of the name at->path, in the directory of *depth*, into account.
 * Returns: > 0 when the merge of this name ends here, 0 when it goes on below, or an error.
 */
static int merge_layer(struct li_stack *stack, struct position *at, size_t i, bool last,
		       struct entry *found)
{
	cleanup_with(entry_done) struct entry entry = ENTRY_INIT;
	enum entry_class class = ENTRY_REFUSED;
	int r;

	r = stack_open_entry(stack, i, at->path, &entry);
	if (r == -ENOENT || r == -ENAMETOOLONG)
		return 0;
	if (r < 0)
		return r;
	/* A file below a directory: hidden, whatever it is, and it hides what is below. */
	if (found->fd >= 0 && !S_ISDIR(entry.st.st_mode))
		return 1;
	r = entry_class(stack, &entry, last, &class);
	if (r < 0)
		return r;
	if (class == ENTRY_REFUSED)
		return -EPERM;
	if (class == ENTRY_WHITEOUT)
		return 1;
	if (S_ISDIR(entry.st.st_mode))
		at->reach[i] = at->depth + 1;
	if (found->fd < 0) {
		*found = entry;
		entry.fd = -EBADF;
	}
	return class != ENTRY_DIR;
}

int merge_lookup(struct li_stack *stack, struct position *at, const char *name, struct entry *ret)
{
	cleanup_with(entry_done) struct entry found = ENTRY_INIT;
	size_t length = at->length;
	size_t last = last_layer(stack, at);
	int r;

	r = position_append(at, name);
	for (size_t i = 0; r == 0 && i <= last; i++)
		if (at->reach[i] >= at->depth)
			r = merge_layer(stack, at, i, i == last, &found);
	if (r < 0)
		return r;
	if (found.fd < 0)
		return -ENOENT;
	if (S_ISDIR(found.st.st_mode))
		at->depth++;
	else
		position_take_back(at, length);
	*ret = found;
	found.fd = -EBADF;
	return 0;
}

int merge_self(struct li_stack *stack, const struct position *at, struct entry *ret)
{
	for (size_t i = 0; i < stack->size; i++)
		if (at->reach[i] >= at->depth)
			return stack_open_entry(stack, i, at->path, ret);
	return -ENOENT;
}

int merge_search(struct li_stack *stack, const struct position *at)
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
