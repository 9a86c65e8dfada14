/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "layerindex/cleanup.h"
#include "layerindex/layerindex.h"
#include "tests/fuzz/check.h"

enum { NODE_PATH_MAX = 1024 };

/* What a letter behind the kind marks; the value is the attribute's. */
static void set_mark(struct node *node, char mark)
{
	switch (mark) {
	case 'w': node->whiteout = true; break;
	case 'y': node->opaque = "y"; break;
	case 'Y': node->opaque = "yes"; break;
	case 'x': node->opaque = "x"; break;
	case 'm': node->metacopy = ""; break;
	case 'M': node->metacopy = "a"; break;
	case 'r': node->redirect = "/a"; break;
	case 'R': node->redirect = "b"; break;
	case 'e': node->redirect = ""; break;
	case 's': node->redirect = "a/b"; break;
	case 't': node->redirect = "/a/"; break;
	default: break;
	}
}

static bool is_kind(char c)
{
	return c && strchr("fgdlwcp", c);
}

const struct node *tree_find(const struct tree *tree, const struct node *parent, const char *name,
			     size_t length)
{
	size_t skip = *parent->path ? strlen(parent->path) + 1 : 0;

	for (size_t i = 0; i < tree->count; i++) {
		const struct node *node = &tree->nodes[i];

		if (node->parent == parent && strlen(node->path + skip) == length &&
		    memcmp(node->path + skip, name, length) == 0)
			return node;
	}
	return NULL;
}

static struct node *add(struct tree *tree, const struct node *parent, size_t layer,
			const char *name, size_t length)
{
	struct node *node;
	int r;

	/* There is always room for the layers themselves. */
	if (parent && (tree->count >= TREE_NODES_MAX || length > LI_NAME_MAX ||
		       strlen(parent->path) + length > NODE_PATH_MAX))
		return NULL;
	node = &tree->nodes[tree->count++];
	*node = (struct node){.parent = parent, .layer = layer, .kind = NODE_DIR};
	r = asprintf(&node->path, "%s%s%.*s", parent ? parent->path : "",
		     parent && *parent->path ? "/" : "", (int)length, name);
	require(r >= 0, "there is memory for a path");
	return node;
}

static struct node *add_layer(struct tree *tree, size_t layer)
{
	while (tree->layers <= layer)
		add(tree, NULL, tree->layers++, "", 0);
	for (size_t i = 0; i < tree->count; i++)
		if (!tree->nodes[i].parent && tree->nodes[i].layer == layer)
			return &tree->nodes[i];
	return NULL;
}

/* Finds or makes *path*. Returns: NULL where it cannot be. */
static struct node *add_path(struct tree *tree, size_t layer, const char *path)
{
	struct node *at = add_layer(tree, layer);

	for (;;) {
		size_t length = strcspn(path, "/");
		bool skipped = length == 0 || (length == 1 && path[0] == '.') ||
			       (length == 2 && path[0] == '.' && path[1] == '.');

		if (!at || at->kind != NODE_DIR)
			return NULL;
		if (!skipped) {
			/* The node is this tree's own, which may be changed. */
			const struct node *found = tree_find(tree, at, path, length);

			at = found ? &tree->nodes[found - tree->nodes]
				   : add(tree, at, layer, path, length);
		}
		path += length;
		if (!*path++)
			return at;
	}
}

static bool has_children(const struct tree *tree, const struct node *node)
{
	for (size_t i = 0; i < tree->count; i++)
		if (tree->nodes[i].parent == node)
			return true;
	return false;
}

/* "dy path target", behind the layer's number. */
static void read_entry(struct tree *tree, size_t layer, char *line)
{
	char *marks = strsep(&line, " ");
	char *path = strsep(&line, " ");
	char *target = line;
	enum node_kind kind = is_kind(*marks) ? (enum node_kind) * marks : NODE_DIR;
	struct node *node;

	if (!path || (kind == NODE_LINK && (!target || !*target || strlen(target) > LI_PATH_MAX)))
		return;
	node = add_path(tree, layer, path);
	if (!node)
		return;
	for (; *marks; marks++)
		set_mark(node, *marks);
	if (kind == NODE_DIR || !node->parent || node->kind != NODE_DIR || has_children(tree, node))
		return;
	node->kind = kind;
	if (kind == NODE_LINK)
		node->target = strdup(target);
	require(kind != NODE_LINK || node->target, "there is memory for a link");
}

void tree_read(struct tree *tree, const char *text)
{
	cleanup_free char *copy = strdup(text);
	char *rest = copy;
	char *line;

	require(copy, "there is memory for the tree");
	*tree = (struct tree){};
	add_layer(tree, 0);
	while ((line = strsep(&rest, "\n"))) {
		if (*line >= '0' && *line < '0' + TREE_LAYERS_MAX)
			read_entry(tree, *line - '0', line + 1);
		else if (strcmp(line, "u") == 0)
			tree->userxattr = true;
	}
}

/* "LAYER/PATH", relative to the root. */
static void node_path(const struct node *node, char path[static NODE_PATH_MAX + 16])
{
	snprintf(path, NODE_PATH_MAX + 16, "%zu%s%s", node->layer, *node->path ? "/" : "",
		 node->path);
}

static int make_node(const struct node *node, int root, const char *path)
{
	cleanup_close int fd = -EBADF;

	switch (node->kind) {
	case NODE_DIR: return mkdirat(root, path, 0755);
	case NODE_EMPTY: return mknodat(root, path, S_IFREG | 0644, 0);
	case NODE_LINK: return symlinkat(node->target, root, path);
	case NODE_WHITEOUT: return mknodat(root, path, S_IFCHR, makedev(0, 0));
	case NODE_DEVICE: return mknodat(root, path, S_IFCHR, makedev(0, 1));
	case NODE_FIFO: return mknodat(root, path, S_IFIFO | 0644, 0);
	case NODE_FILE:
		fd = openat(root, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		return fd < 0 || write(fd, "x", 1) != 1 ? -1 : 0;
	}
	return -1;
}

static int mark_node(const struct node *node, int root, const char *path)
{
	const struct {
		const char *name, *value;
	} marks[] = {
		{"trusted.overlay.whiteout", node->whiteout ? "" : NULL},
		{"trusted.overlay.opaque", node->opaque},
		{"trusted.overlay.metacopy", node->metacopy},
		{"trusted.overlay.redirect", node->redirect},
	};
	char whole[NODE_PATH_MAX + 64];

	snprintf(whole, sizeof(whole), "/proc/self/fd/%d/%s", root, path);
	for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++)
		if (marks[i].value &&
		    lsetxattr(whole, marks[i].name, marks[i].value, strlen(marks[i].value), 0) < 0)
			return -1;
	return 0;
}

int tree_make(const struct tree *tree, int root)
{
	for (size_t i = 0; i < tree->count; i++) {
		char path[NODE_PATH_MAX + 16];

		node_path(&tree->nodes[i], path);
		if (make_node(&tree->nodes[i], root, path) < 0 ||
		    mark_node(&tree->nodes[i], root, path) < 0)
			return -errno;
	}
	return 0;
}

int tree_remove(const struct tree *tree, int root)
{
	for (size_t i = tree->count; i-- > 0;) {
		char path[NODE_PATH_MAX + 16];

		node_path(&tree->nodes[i], path);
		if (unlinkat(root, path, tree->nodes[i].kind == NODE_DIR ? AT_REMOVEDIR : 0) < 0)
			return -errno;
	}
	return 0;
}

void tree_done(struct tree *tree)
{
	for (size_t i = 0; i < tree->count; i++) {
		free(tree->nodes[i].path);
		free(tree->nodes[i].target);
	}
	*tree = (struct tree){};
}
