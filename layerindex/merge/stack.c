/* SPDX-License-Identifier: Apache-2.0 */
/* The layers of a stack, and how many of them are kept open. */
#include "layerindex/merge/stack.h"

#include <errno.h>

void stack_close_layers(struct li_stack *stack)
{
	for (size_t i = 0; i < stack->size; i++)
		layer_close(&stack->layers[i]);
	stack->open = 0;
}

int stack_acquire(struct li_stack *stack, struct layer *layer)
{
	int r;

	if (layer->fd >= 0)
		return 0;
	r = layer_open(layer);
	if ((r == -EMFILE || r == -ENFILE) && stack->open > 0) {
		stack_close_layers(stack);
		r = layer_open(layer);
	}
	if (r == 0)
		stack->open++;
	return r;
}

void stack_release(struct li_stack *stack, struct layer *layer)
{
	if (layer->given || (layer->fd >= 0 && stack->open <= stack->open_most))
		return;
	layer_close(layer);
	stack->open--;
}

bool li_stack_is_userxattr(const struct li_stack *stack)
{
	return stack->userxattr;
}

bool li_stack_is_stacked(const struct li_stack *stack)
{
	return stack->stacked;
}

bool li_stack_met_mark(const struct li_stack *stack)
{
	return stack->met_mark;
}

bool li_stack_is_held(const struct li_stack *stack)
{
	return stack->open + stack->given == stack->size;
}

size_t li_stack_size(const struct li_stack *stack)
{
	return stack->size;
}

const char *li_stack_path(const struct li_stack *stack, size_t layer)
{
	return stack->layers[layer].path;
}

struct li_root li_stack_root(const struct li_stack *stack, size_t layer)
{
	return stack->layers[layer].root;
}

void entry_done(struct entry *entry)
{
	entry->fd = close_keep_errno(entry->fd);
}

int stack_open_entry(struct li_stack *stack, size_t i, const char *path, struct entry *ret)
{
	struct layer *layer = &stack->layers[i];
	cleanup_with(entry_done) struct entry entry = {.fd = -EBADF, .layer = i};
	int r;

	r = stack_acquire(stack, layer);
	if (r < 0)
		return r == -ENOENT || r == -ENOTDIR ? -ESTALE : r;
	entry.fd = layer_open_path(layer, path, &stack->no_openat2);
	if (entry.fd == -EMFILE || entry.fd == -ENFILE) {
		stack_close_layers(stack);
		r = stack_acquire(stack, layer);
		if (r < 0)
			return r;
		entry.fd = layer_open_path(layer, path, &stack->no_openat2);
	}
	stack_release(stack, layer);
	if (entry.fd < 0)
		return entry.fd;
	if (fstat(entry.fd, &entry.st) < 0)
		return -errno;
	*ret = entry;
	entry.fd = -EBADF;
	return 0;
}
