/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing a stack, with the index or without it. */
#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/vfs.h>

#include "layerindex/layer/overlay-xattrs.h"
#include "layerindex/merge/stack-index.h"
#include "layerindex/merge/stack.h"

/* Half of what the process may open is the caller's. */
static size_t open_most(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur / 2 > LI_OPEN_LAYERS)
		return LI_OPEN_LAYERS;
	return (size_t)(limit.rlim_cur / 2);
}

/* Asks a filesystem for its type; layers one after the other mostly lie on the same one. */
static int note_filesystem(struct li_stack *stack, size_t i)
{
	const struct layer *layer = &stack->layers[i];
	struct statfs fs;
	int r;

	if (i > 0 && layer->root.device == stack->layers[i - 1].root.device)
		return 0;
	r = layer->fd < 0 ? statfs(layer->path, &fs) : fstatfs(layer->fd, &fs);
	if (r < 0)
		return -errno;
	if (fs.f_type == OVERLAYFS_SUPER_MAGIC || fs.f_type == FUSE_SUPER_MAGIC)
		stack->stacked = true;
	return 0;
}

/* Their paths in one block: there may be hundreds of them. */
static int make_layers(struct li_stack *stack, char *const *paths, size_t n, bool no_magiclinks)
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
		stack->layers[i].no_magiclinks = no_magiclinks;
		size = strlen(paths[i]) + 1;
		memcpy(path, paths[i], size);
		path += size;
	}
	stack->size = n;
	return 0;
}

/* Opens a layer, unless the index speaks for it: whether it is there was seen then. */
static int open_layer(struct li_stack *stack, size_t i)
{
	struct layer *layer = &stack->layers[i];
	int r = i < stack->known ? stack_acquire(stack, layer) : 0;

	if (r < 0)
		return r;
	r = note_filesystem(stack, i);
	if (layer->fd >= 0)
		stack_release(stack, layer);
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

/* Takes the descriptors that are given. */
static int give_layers(struct li_stack *stack, int *fds, size_t *ret_layer)
{
	for (size_t i = 0; fds && i < stack->size; i++) {
		int r = fds[i] < 0 ? 0 : layer_give(&stack->layers[i], &fds[i]);

		if (r < 0) {
			*ret_layer = i;
			return r;
		}
		stack->given += stack->layers[i].given;
	}
	return 0;
}

/* Gives the descriptors back. */
static void return_layers(struct li_stack *stack, int *fds)
{
	for (size_t i = 0; fds && stack->layers && i < stack->size; i++)
		if (stack->layers[i].given)
			fds[i] = TAKE_FD(stack->layers[i].fd);
}

int li_stack_open(char *const *paths, size_t n, unsigned flags, const struct li_index *index,
		  struct li_stack **ret, size_t *ret_layer)
{
	return li_stack_open_given(paths, NULL, n, flags, index, ret, ret_layer);
}

int li_stack_open_given(char *const *paths, int *fds, size_t n, unsigned flags,
			const struct li_index *index, struct li_stack **ret, size_t *ret_layer)
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
	r = make_layers(stack, paths, n, flags & LI_STACK_NO_MAGICLINKS);
	stack->known = stack->size;
	if (r == 0)
		r = give_layers(stack, fds, ret_layer);
	/* Whatever keeps the index from being used, the layers themselves will say it. */
	if (r == 0 && index && stack->given == 0)
		stack_index_open(stack, index);
	if (r == 0)
		r = open_layers(stack, ret_layer);
	if (r < 0) {
		return_layers(stack, fds);
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
	for (size_t i = 0; stack->layers && i < stack->size; i++)
		layer_done(&stack->layers[i]);
	free(stack->layers);
	free(stack->paths);
	free(stack);
}
