/* SPDX-License-Identifier: Apache-2.0 */
/* Plain archives, one layer after the other in one input: the first byte says where the second
 * begins, in blocks. */
#include <errno.h>
#include <string.h>

#include "layerindex/blob/apply.h"
#include "layerindex/blob/tar-header.h"
#include "layerindex/cleanup.h"
#include "tests/fuzz/check.h"
#include "tests/tools/whole-layers.h"

/* What is left of a layer. */
struct bytes {
	const uint8_t *at;
	size_t left;
};

static ssize_t take(void *from, void *buffer, size_t n)
{
	struct bytes *bytes = from;

	/* In pieces, as a decoder gives them. */
	if (n > bytes->left)
		n = bytes->left;
	if (n > 700)
		n = 700;
	memcpy(buffer, bytes->at, n);
	bytes->at += n;
	bytes->left -= n;
	return (ssize_t)n;
}

static int drain(void *context, struct tar *tar, uint32_t layer, uint64_t entry)
{
	char buffer[4096];
	int64_t *most = context;
	ssize_t n = 1;

	(void)layer;
	(void)entry;
	/* A file of holes may be as large as it likes. */
	while (n > 0 && *most > 0) {
		n = tar_read(tar, buffer, sizeof(buffer));
		*most -= n;
	}
	return n < 0 ? (int)n : 0;
}

static int apply_bytes(struct apply *apply, const uint8_t *data, size_t size)
{
	struct bytes bytes = {data, size};
	int64_t most = 1 << 20;
	struct tar *tar = tar_new(take, &bytes);
	int r;

	require(tar != NULL, "there is memory for a reader");
	r = whole_layer(apply, tar, drain, &most);
	require(r == 0 || r == -EBADMSG || r == -EPROTONOSUPPORT || r == -E2BIG,
		"a layer is unpacked or refused");
	require(r == 0 || apply->reason, "a layer is refused for a reason");
	tar_free(tar);
	return r;
}

static void require_sound(struct apply *apply)
{
	const struct tree *tree = &apply->tree;
	const struct tree_file *root;
	char path[APPLY_PATH_SIZE];

	for (uint32_t i = 1; i < tree->name_count; i++) {
		const struct tree_name *name = &tree->names[i];
		const struct tree_file *file = tree_file(tree, i), *parent;

		require(*name->text && !strchr(name->text, '/'), "a name is one component");
		require(strcmp(name->text, ".") != 0 && strcmp(name->text, "..") != 0,
			"a name leads nowhere else");
		if (!file)
			continue;
		parent = tree_file(tree, name->parent);
		require(parent && parent->type == TREE_DIRECTORY, "a file lies in a directory");
		require(file->type != TREE_SYMLINK || *file->target, "a link has a target");
		require(file->size >= 0 && file->mode <= 07777, "attributes are in their ranges");
	}
	require(apply_find(apply, "/", &root, path) == 0 && root->type == TREE_DIRECTORY,
		"the root is a directory");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct apply apply;
	size_t first;

	if (size == 0)
		return 0;
	first = (size_t)data[0] * TAR_BLOCK;
	data++;
	size--;
	if (first > size)
		first = size;
	require(apply_init(&apply, false) == 0, "there is memory for a tree");
	if (apply_bytes(&apply, data, first) == 0) {
		require_sound(&apply);
		if (apply_bytes(&apply, data + first, size - first) == 0)
			require_sound(&apply);
	}
	apply_done(&apply);
	return 0;
}
