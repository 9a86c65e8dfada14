/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layerindex against the model: a stack of layers is made on a filesystem in memory, and both are
 * asked about the paths that the input names.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "layerindex/layerindex.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/model.h"

/* What one input may ask for, so that it takes no longer than others. */
enum { QUESTIONS_MAX = 16 };

static struct li_stack *open_stack(const struct tree *tree, int root)
{
	char paths[TREE_LAYERS_MAX][48];
	char *layers[TREE_LAYERS_MAX];
	struct li_stack *stack;
	size_t bad;
	int r;

	for (size_t i = 0; i < tree->layers; i++) {
		snprintf(paths[i], sizeof(paths[i]), "/proc/self/fd/%d/%zu", root, i);
		layers[i] = paths[i];
	}
	r = li_stack_open(layers, tree->layers, tree->userxattr ? LI_STACK_USERXATTR : 0, NULL,
			  &stack, &bad);
	require(r == 0, "the layers can be opened");
	return stack;
}

static void check_file(struct li_stack *stack, const struct li_file *file, const struct node *node)
{
	bool regular = node->kind == NODE_EMPTY || node->kind == NODE_FILE;
	cleanup_free char *origin = NULL;
	cleanup_close int fd = -EBADF;
	struct stat st;

	require(file->layer == node->layer, "it is in the expected layer");
	require(strcmp(file->name, node->path) == 0, "it has the expected name there");
	require(asprintf(&origin, "%s/%s", li_stack_path(stack, file->layer), file->name) >= 0,
		"there is memory for a path");
	require(lstat(origin, &st) == 0 && st.st_ino == file->st.st_ino,
		"the name leads to the same inode");
	require(st.st_size == file->st.st_size && st.st_mode == file->st.st_mode,
		"the attributes are those of the inode");
	fd = li_file_open(file);
	require(regular ? fd >= 0 : fd == -EINVAL, "regular files, and only those, can be read");
}

static void ask(const struct tree *tree, struct li_stack *stack, const char *path, bool nofollow)
{
	cleanup_with(li_file_done) struct li_file file = LI_FILE_INIT;
	const struct node *node = NULL;
	int expected = model_resolve(tree, path, nofollow, &node);
	int r = li_resolve(stack, path, nofollow ? LI_RESOLVE_NOFOLLOW : 0, &file);

	if (r != expected)
		fprintf(stderr, "'%s'%s: %s, expected %s\n", path,
			nofollow ? " (link not followed)" : "", strerrorname_np(-r),
			strerrorname_np(-expected));
	require(r == expected, "layerindex and the model agree");
	if (r == 0)
		check_file(stack, &file, node);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int root = -EBADF;
	cleanup_free char *text = input_string(data, size);
	struct li_stack *stack;
	struct tree tree;
	char *rest = text;
	char *line;
	int asked = 0;

	if (root < 0)
		root = open_scratch();
	tree_read(&tree, text);
	require(tree_make(&tree, root) == 0, "the layers can be made");
	stack = open_stack(&tree, root);
	while (asked < QUESTIONS_MAX && (line = strsep(&rest, "\n"))) {
		if ((*line != '?' && *line != '!') || line[1] != ' ')
			continue;
		ask(&tree, stack, line + 2, *line == '!');
		asked++;
	}
	li_stack_close(stack);
	require(tree_remove(&tree, root) == 0, "the layers can be removed");
	tree_done(&tree);
	return 0;
}
