/* SPDX-License-Identifier: Apache-2.0 */
/* The layers of a stack, and how many of them are kept open. */
#include "layerindex/merge/stack.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "layerindex/layer/overlay-xattrs.h"
#include "layerindex/merge/stack-index.h"

static void close_layers(struct li_stack *stack)
{
	for (size_t i = 0; i < stack->size; i++)
		layer_close(&stack->layers[i]);
	stack->open = 0;
}

/* Opens a layer; where descriptors are scarce the other layers give theirs back first. */
static int acquire(struct li_stack *stack, struct layer *layer)
{
	int r;

	if (layer->fd >= 0)
		return 0;
	r = layer_open(layer);
	if ((r == -EMFILE || r == -ENFILE) && stack->open > 0) {
		close_layers(stack);
		r = layer_open(layer);
	}
	if (r == 0)
		stack->open++;
	return r;
}

/* Half of what the process may open is the caller's. */
static size_t open_most(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur / 2 > LI_OPEN_LAYERS)
		return LI_OPEN_LAYERS;
	return limit.rlim_cur / 2;
}

/* The first layers opened stay so; the others are closed after each use. */
static void release(struct li_stack *stack, struct layer *layer)
{
	if (layer->fd >= 0 && stack->open <= stack->open_most)
		return;
	layer_close(layer);
	stack->open--;
}

/* Asks a filesystem for its type; layers one after the other mostly lie on the same one. */
static int note_filesystem(struct li_stack *stack, size_t i)
{
	const struct layer *layer = &stack->layers[i];
	struct statfs fs;
	int r;

	if (i > 0 && layer->dev == stack->layers[i - 1].dev)
		return 0;
	r = layer->fd < 0 ? statfs(layer->path, &fs) : fstatfs(layer->fd, &fs);
	if (r < 0)
		return -errno;
	if (fs.f_type == OVERLAYFS_SUPER_MAGIC || fs.f_type == FUSE_SUPER_MAGIC)
		stack->stacked = true;
	return 0;
}

/* Their paths in one block: there may be hundreds of them. */
static int make_layers(struct li_stack *stack, char *const *paths, size_t n)
{
	size_t size = 0;
	char *path;

	for (size_t i = 0; i < n; i++)
		size += strlen(paths[i]) + 1;
	stack->layers = calloc(n, sizeof(*stack->layers));
	path = stack->paths = malloc(size);
	if (!stack->layers || !path)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		stack->layers[i] = layer_of(path);
		path = stpcpy(path, paths[i]) + 1;
	}
	stack->size = n;
	return 0;
}

/* Opens a layer, unless the index speaks for it: whether it is there was seen then. */
static int open_layer(struct li_stack *stack, size_t i)
{
	struct layer *layer = &stack->layers[i];
	int r = i < stack->known ? acquire(stack, layer) : 0;

	if (r < 0)
		return r;
	r = note_filesystem(stack, i);
	if (layer->fd >= 0)
		release(stack, layer);
	return r;
}

static int open_layers(struct li_stack *stack, size_t *ret_layer)
{
	for (size_t i = 0; i < stack->size; i++) {
		int r = open_layer(stack, i);

		if (r < 0) {
			*ret_layer = i;
			return r;
		}
	}
	return 0;
}

int li_stack_open(char *const *paths, size_t n, unsigned flags, const struct li_index *index,
		  struct li_stack **ret, size_t *ret_layer)
{
	struct li_stack *stack;
	int r;

	*ret_layer = n;
	if (n == 0)
		return -EINVAL;
	if (n > LI_LAYERS_MAX)
		return -E2BIG;
	r = overlay_xattrs_visible(flags & LI_STACK_USERXATTR);
	if (r < 0)
		return r;
	stack = calloc(1, sizeof(*stack));
	if (!stack)
		return -ENOMEM;
	stack->userxattr = flags & LI_STACK_USERXATTR;
	stack->index_own = flags & LI_STACK_INDEX_OWN;
	stack->open_most = open_most();
	r = make_layers(stack, paths, n);
	stack->known = stack->size;
	/* Whatever keeps the index from being used, the layers themselves will say it. */
	if (r == 0 && index)
		stack_index_open(stack, index);
	if (r == 0)
		r = open_layers(stack, ret_layer);
	if (r < 0) {
		li_stack_close(stack);
		return r;
	}
	*ret = stack;
	return 0;
}

void li_stack_close(struct li_stack *stack)
{
	if (!stack)
		return;
	stack_index_close(stack);
	close_layers(stack);
	free(stack->layers);
	free(stack->paths);
	free(stack);
}

bool li_stack_is_stacked(const struct li_stack *stack)
{
	return stack->stacked;
}

bool li_stack_is_held(const struct li_stack *stack)
{
	return stack->open == stack->size;
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
	return (struct li_root){stack->layers[layer].dev, stack->layers[layer].ino};
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

	r = acquire(stack, layer);
	if (r < 0)
		return r == -ENOENT || r == -ENOTDIR ? -ESTALE : r;
	entry.fd = layer_open_path(layer, path, &stack->no_openat2);
	if (entry.fd == -EMFILE || entry.fd == -ENFILE) {
		close_layers(stack);
		r = acquire(stack, layer);
		if (r < 0)
			return r;
		entry.fd = layer_open_path(layer, path, &stack->no_openat2);
	}
	release(stack, layer);
	if (entry.fd < 0)
		return entry.fd;
	if (fstat(entry.fd, &entry.st) < 0)
		return -errno;
	*ret = entry;
	entry.fd = -EBADF;
	return 0;
}
