/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/merge/stack-index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The length of the directory, with its slash, that all layers lie in; 0: there is none. */
static size_t common_directory(const struct li_stack *stack)
{
	const char *first = stack->layers[0].path;
	size_t length = strlen(first);

	for (size_t i = 1; i < stack->size; i++) {
		const char *path = stack->layers[i].path;
		size_t n = 0;

		while (n < length && path[n] == first[n])
			n++;
		length = n;
	}
	while (length > 0 && first[length - 1] != '/')
		length--;
	return length;
}

/* Opens the directory that the first *length* bytes of a layer's path name. */
static int open_directory(const struct layer *layer, size_t length)
{
	cleanup_free char *directory = strndup(layer->path, length);

	return directory ? directory_open(directory, layer->no_magiclinks) : -ENOMEM;
}

/* Finds out what layer *i* is. *base* is the directory that the first *length* bytes of its path
 * name; < 0: none. Returns: 0 or -errno. */
static int identify(struct li_stack *stack, size_t i, int base, size_t length, struct identity *ret)
{
	struct layer *layer = &stack->layers[i];
	const char *name = layer->path + length;
	bool below = base >= 0;
	struct statx stx;

	/* Without a directory the path is as it was given. In it, one more slash would lead to the
	 * root; and a layer that is that directory itself has no name in it. */
	if (below)
		name += strspn(name, "/");
	below = below && *name;
	if (statx(below ? base : AT_FDCWD, below ? name : layer->path, AT_STATX_DONT_SYNC,
		  identity_mask() | LAYER_ROOT_MASK, &stx) < 0)
		return -errno;
	if (!S_ISDIR(stx.stx_mode))
		return -ENOTDIR;
	if (stack->index_own && stx.stx_uid != 0 && stx.stx_uid != geteuid())
		return -EPERM;
	layer->root = root_of(&stx);
	return identity_of_directory(&stx, ret);
}

/* Fills the keys of the topmost layers. The layers are looked at by names beneath the directory
 * that all of them lie in: to walk there again for each would cost more than all the rest. */
static int make_keys(struct li_stack *stack, struct stack_index *known)
{
	struct chain_key key = chain_key_start(known->index->boot, stack->userxattr);
	size_t length = stack->size > 1 ? common_directory(stack) : 0;
	cleanup_close int base = -EBADF;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (length > 0) {
		base = open_directory(&stack->layers[0], length);
		if (base < 0)
			return base;
	}
	known->stable = true;
	known->chains = stack->size < CHAINS_MAX ? stack->size : CHAINS_MAX;
	/* A key is about the layers below, too. */
	for (size_t i = stack->size; i-- > 0;) {
		struct identity layer = {};
		int r = identify(stack, i, base, length, &layer);

		if (r < 0)
			return r;
		known->stable &= identity_is_stable(&layer, &now);
		key = chain_key_on(&layer, &key);
		if (i < known->chains) {
			known->keys[i] = key;
			known->tops[i] = layer;
		}
	}
	return 0;
}

/* Whether what was read is about layer *i* and those below it, and not only says so. */
static bool belongs(const struct stack_index *known, const struct chain *chain, size_t i,
		    size_t layers)
{
	return chain->layers == layers - i &&
	       memcmp(&chain->top, &known->tops[i], sizeof(chain->top)) == 0;
}

/* The more layers the facts speak for the better: from the top. */
static void load(struct li_stack *stack, struct stack_index *known)
{
	for (size_t i = 0; i < known->chains; i++) {
		struct chain chain;
		int r = index_load(known->index, &known->keys[i], &chain, &known->facts);

		if (r == 0 && belongs(known, &chain, i, stack->size)) {
			stack->known = known->loaded = i;
			return;
		}
		facts_done(&known->facts);
		/* One of another version is replaced, too, and is no damage. */
		if (r == 0 || r == -EINVAL)
			chain_key_name(&known->keys[i], known->damaged);
	}
}

int stack_index_open(struct li_stack *stack, const struct li_index *index)
{
	struct stack_index *known = calloc(1, sizeof(*known));
	int r;

	if (!known)
		return -ENOMEM;
	known->index = index;
	known->loaded = stack->size;
	known->log.layers = stack->size;
	r = make_keys(stack, known);
	if (r < 0) {
		free(known);
		return r;
	}
	load(stack, known);
	stack->index = known;
	return 0;
}

void stack_index_close(struct li_stack *stack)
{
	struct stack_index *known = TAKE_PTR(stack->index);

	if (!known)
		return;
	facts_done(&known->facts);
	lookup_log_done(&known->log);
	free(known);
}

void stack_index_forget(struct li_stack *stack, bool stale)
{
	stack->known = stack->size;
	stack->index->stale |= stale;
}

struct probe *stack_index_row(struct li_stack *stack, const char *path)
{
	return stack->index && stack->known > 0 ? lookup_log_probe(&stack->index->log, path) : NULL;
}

const struct fact *stack_index_fact(const struct li_stack *stack, const char *path)
{
	return facts_find(&stack->index->facts, path);
}

/* What was read before and still holds, after what was found out now. */
static int add_loaded(const struct facts *loaded, struct facts *ret)
{
	for (size_t i = 0; i < loaded->count; i++) {
		const struct fact *fact = &loaded->items[i];
		const char *path = facts_path(loaded, fact);
		int r = facts_find(ret, path) ? 0 : facts_add(ret, path, fact);

		if (r < 0)
			return r == -E2BIG ? 0 : r;
	}
	return 0;
}

static int publish(const struct li_stack *stack, size_t i)
{
	const struct stack_index *known = stack->index;
	cleanup_with(facts_done) struct facts facts = {};
	struct chain chain = {
		.key = known->keys[i],
		.top = known->tops[i],
		.layers = (uint32_t)(stack->size - i),
	};
	int r = facts_add_string(&facts, stack->layers[i].path, &chain.top_path);

	if (r < 0)
		return r;
	r = lookup_log_conclude(&known->log, i, stack->known, &known->facts, &facts);
	if (r == 0 && i == known->loaded && !known->stale)
		r = add_loaded(&known->facts, &facts);
	if (r < 0 || facts.count == 0)
		return r;
	return index_publish(known->index, &chain, &facts);
}

int li_stack_publish(struct li_stack *stack)
{
	struct stack_index *known = stack->index;
	size_t last;

	if (!known || !known->stable || known->log.count == 0)
		return 0;
	/* Those below what was read are filed already; and what was not doubted is as it was. */
	last = known->loaded < stack->size ? known->loaded : stack->size - 1;
	if (stack->known == known->loaded && stack->known > 0 && stack->known < stack->size)
		last = stack->known - 1;
	for (size_t i = 0; i <= last && i < known->chains; i++) {
		int r = publish(stack, i);

		if (r < 0)
			return r;
	}
	lookup_log_done(&known->log);
	index_trim(known->index);
	return 0;
}

const char *li_stack_damaged_entry(const struct li_stack *stack)
{
	return stack->index && *stack->index->damaged ? stack->index->damaged : NULL;
}
