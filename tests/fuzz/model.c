/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/model.h"

#include <errno.h>
#include <string.h>

/* A directory of the merged tree: the directories that it is made of, the topmost first. */
struct merged {
	const struct node *parts[TREE_LAYERS_MAX];
	size_t count;
};

struct walk {
	const struct tree *tree;
	struct merged path[TREE_NODES_MAX + 1]; /* from the root down to where the walk is */
	size_t depth;
	const struct node *leaf; /* what it has come to that is not a directory, or NULL */
	unsigned links;
};

static bool is_whiteout(const struct tree *tree, const struct node *node)
{
	return node->kind == NODE_WHITEOUT ||
	       (node->kind == NODE_EMPTY && node->whiteout && !tree->userxattr);
}

/* A redirect is refused; a value that cannot be one is an error of its own. */
static int refuse_redirect(const char *value)
{
	bool invalid = !*value || strcmp(value, "a/b") == 0 || strcmp(value, "/a/") == 0;

	return invalid ? -EINVAL : -EPERM;
}

/* Of a file that has been reached. *last*: no directory below takes part. */
static int check_file(const struct tree *tree, const struct node *node, bool last)
{
	bool regular = node->kind == NODE_EMPTY || node->kind == NODE_FILE;

	if (!regular || !node->metacopy || tree->userxattr)
		return 0;
	if (strlen(node->metacopy) >= 1 && strlen(node->metacopy) <= 3)
		return -EIO;
	return node->redirect && !last ? refuse_redirect(node->redirect) : -EPERM;
}

/* Returns: > 0: nothing below counts; 0: go on; or an error. */
static int check_directory(const struct tree *tree, const struct node *node, bool last)
{
	if (last || tree->userxattr)
		return 0;
	if (node->opaque && strcmp(node->opaque, "y") == 0)
		return 1;
	return node->redirect ? refuse_redirect(node->redirect) : 0;
}

/* One name in a merged directory: goes on in *ret, or ends in *ret_leaf. */
static int look_up(const struct tree *tree, const struct merged *in, const char *name,
		   size_t length, struct merged *ret, const struct node **ret_leaf)
{
	*ret = (struct merged){};
	for (size_t i = 0; i < in->count; i++) {
		const struct node *node = tree_find(tree, in->parts[i], name, length);
		bool last = i + 1 == in->count;
		int r;

		if (!node)
			continue;
		if (is_whiteout(tree, node))
			break;
		if (node->kind != NODE_DIR) {
			if (ret->count > 0)
				break;
			*ret_leaf = node;
			return check_file(tree, node, last);
		}
		r = check_directory(tree, node, last);
		if (r < 0)
			return r;
		ret->parts[ret->count++] = node;
		if (r > 0)
			break;
	}
	return ret->count > 0 ? 0 : -ENOENT;
}

static int walk_path(struct walk *walk, const char *path, bool nofollow);

static int follow(struct walk *walk, const char *target)
{
	walk->leaf = NULL;
	if (++walk->links > 40)
		return -ELOOP;
	if (*target == '/')
		walk->depth = 0;
	return walk_path(walk, target, false);
}

static int take_component(struct walk *walk, const char *name, size_t length, bool nofollow)
{
	int r;

	if (length > 255)
		return -ENAMETOOLONG;
	if (length == 1 && name[0] == '.')
		return 0;
	if (length == 2 && name[0] == '.' && name[1] == '.') {
		walk->depth -= walk->depth > 0;
		return 0;
	}
	r = look_up(walk->tree, &walk->path[walk->depth], name, length,
		    &walk->path[walk->depth + 1], &walk->leaf);
	if (r < 0)
		return r;
	if (!walk->leaf)
		walk->depth++;
	else if (walk->leaf->kind == NODE_LINK && !nofollow)
		return follow(walk, walk->leaf->target);
	return 0;
}

static int walk_path(struct walk *walk, const char *path, bool nofollow)
{
	while (*path) {
		size_t length;
		int r;

		if (walk->leaf)
			return -ENOTDIR;
		path += strspn(path, "/");
		length = strcspn(path, "/");
		if (length == 0)
			return 0;
		r = take_component(walk, path, length, nofollow && !path[length]);
		if (r < 0)
			return r;
		path += length;
	}
	return 0;
}

int model_resolve(const struct tree *tree, const char *path, bool nofollow, const struct node **ret)
{
	struct walk walk = {.tree = tree};
	int r;

	if (!*path)
		return -ENOENT;
	if (strlen(path) > 4095)
		return -ENAMETOOLONG;
	for (size_t i = 0; i < tree->count; i++)
		if (!tree->nodes[i].parent)
			walk.path[0].parts[walk.path[0].count++] = &tree->nodes[i];
	r = walk_path(&walk, path, nofollow);
	if (r < 0)
		return r;
	*ret = walk.leaf ? walk.leaf : walk.path[walk.depth].parts[0];
	return 0;
}
