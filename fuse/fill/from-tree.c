/* SPDX-License-Identifier: Apache-2.0 */
/* The tree is resolved as an image of one layer, by the code that resolves a view's layers. */
#include "fuse/fill/from-tree.h"

#include <errno.h>
#include <string.h>

#include "fuse/base/messages.h"
#include "fuse/fill/tree-check.h"
#include "layerindex/descriptor.h"

static int open_tree(const struct fill_call *call, const struct li_store *store, struct image *ret,
		     struct view_error *error)
{
	const char *tree = call->context;
	unsigned flags = call->options->overlay.userxattr ? LI_STACK_USERXATTR : 0;
	cleanup_close int fd = tree_open(tree, error);
	char path[DESCRIPTOR_PATH];
	char *const layers[] = {path};
	size_t bad;
	int r;

	(void)store;
	if (fd < 0)
		return fd;
	/* The directory that was looked at, whatever its path leads to by now. */
	descriptor_path(fd, path);
	r = li_stack_open(layers, 1, flags, NULL, &ret->stack, &bad);
	if (r == -EPERM && bad == 1)
		return view_fail(error, MSG_MARKS);
	if (r < 0)
		return view_fail(error, MSG_TREE, tree, strerror(-r));
	ret->layers = 1;
	return 0;
}

struct fill_call fill_call_of_tree(const char *tree, const struct li_digest *chain)
{
	static const enum li_store_source source = LI_STORE_TREE;

	return (struct fill_call){
		.key = {LI_STORE_CHAIN, *chain},
		.chain = *chain,
		.source = &source,
		.open = open_tree,
		.context = (void *)(uintptr_t)tree,
	};
}
