/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small stack of layers, written as lines:
 *
 *	LAYER KIND [MARK...] PATH [TARGET]	"0d d", "1dy d/e", "2l l d/x": an entry
 *	? PATH					a question: PATH, links followed
 *	! PATH					the same without following a final link
 *	u					the marks that count are user.overlay.*
 *
 * LAYER is 0 to 3, the topmost first. Directories above an entry need no line. Anything is taken,
 * for the lines come from a fuzzer: what makes no sense is left out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { TREE_LAYERS_MAX = 4, TREE_NODES_MAX = 32 };

enum node_kind {
	NODE_EMPTY = 'f', /* an empty regular file */
	NODE_FILE = 'g',  /* a regular file of one byte */
	NODE_DIR = 'd',
	NODE_LINK = 'l',
	NODE_WHITEOUT = 'w', /* the character device 0:0 */
	NODE_DEVICE = 'c',   /* the character device 0:1, which is none */
	NODE_FIFO = 'p',
};

/* What stands in an entry of one layer; trusted.overlay.* marks are NULL where they are not. */
struct node {
	const struct node *parent; /* NULL: the layer itself */
	size_t layer;
	enum node_kind kind;
	char *path;   /* beneath the layer; owned */
	char *target; /* of a link; owned */
	bool whiteout;
	const char *opaque, *metacopy, *redirect;
};

struct tree {
	struct node
		nodes[TREE_NODES_MAX + TREE_LAYERS_MAX]; /* a parent stands before what it holds */
	size_t count;
	size_t layers;
	bool userxattr;
};

/* Reads the entries; questions are left out. */
void tree_read(struct tree *tree, const char *text);

/* The entry of that name, of *length* bytes, in a directory of a layer, or NULL. */
const struct node *tree_find(const struct tree *tree, const struct node *parent, const char *name,
			     size_t length);

/*
 * Makes the tree, each layer a directory "0", "1"... in *root*, or removes what was made.
 * Returns: 0 or a negative errno value.
 */
int tree_make(const struct tree *tree, int root);
int tree_remove(const struct tree *tree, int root);

void tree_done(struct tree *tree);
