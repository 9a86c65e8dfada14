/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/blob/tree.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "layerindex/array.h"

enum {
	ROOM_FIRST = 256,
	TEXT_SIZE = 64 << 10, /* of a block that short texts share */
};

/* Texts are released all at once. */
struct tree_text {
	struct tree_text *next;
	size_t used, size;
	char bytes[];
};

int tree_init(struct tree *tree, bool partial)
{
	int r;

	*tree = (struct tree){.partial = partial};
	if (getrandom(&tree->key, sizeof(tree->key), 0) != (ssize_t)sizeof(tree->key))
		return -errno;
	tree->names = calloc(ROOM_FIRST, sizeof(*tree->names));
	tree->buckets = malloc(ROOM_FIRST * sizeof(*tree->buckets));
	if (!tree->names || !tree->buckets) {
		tree_done(tree);
		return -ENOMEM;
	}
	tree->name_room = tree->bucket_count = ROOM_FIRST;
	memset(tree->buckets, 0xff, ROOM_FIRST * sizeof(*tree->buckets));
	tree->names[TREE_ROOT] = (struct tree_name){
		.text = "",
		.child = UINT32_MAX,
		.next = UINT32_MAX,
		.chain = UINT32_MAX,
		.file = TREE_NO_FILE,
	};
	tree->name_count = 1;
	tree->names_max = partial ? TREE_PARTIAL_NAMES_MAX : TREE_NAMES_MAX;
	tree->files_max = TREE_NAMES_MAX;
	tree->bases.key = tree->key;
	r = tree_restart(tree, true);
	if (r < 0)
		tree_done(tree);
	return r;
}

static void free_texts(struct tree_text **texts)
{
	while (*texts) {
		struct tree_text *next = (*texts)->next;

		free(*texts);
		*texts = next;
	}
}

int tree_restart(struct tree *tree, bool bottom)
{
	const struct tree_file root = {.type = TREE_DIRECTORY, .mode = 0755};

	free_texts(&tree->targets);
	tree->file_count = 0;
	tree->grown = tree->unknown = tree->climbed = false;
	tree->bottom = bottom;
	for (uint32_t i = 0; i < tree->name_count; i++) {
		tree->names[i].file = TREE_NO_FILE;
		tree->names[i].written = 0;
		tree->names[i].known = bottom;
	}
	return tree_make(tree, TREE_ROOT, &root);
}

void tree_done(struct tree *tree)
{
	free_texts(&tree->texts);
	free_texts(&tree->targets);
	text_set_clear(&tree->bases);
	free(tree->names);
	free(tree->files);
	free(tree->buckets);
	*tree = (struct tree){};
}

static const char *add_text(struct tree_text **texts, const char *text, size_t length)
{
	struct tree_text *block = *texts;
	char *copy;

	if (!block || block->size - block->used <= length) {
		size_t size = length + 1 > TEXT_SIZE ? length + 1 : TEXT_SIZE;

		block = malloc(sizeof(*block) + size);
		if (!block)
			return NULL;
		*block = (struct tree_text){.next = *texts, .size = size};
		*texts = block;
	}
	copy = block->bytes + block->used;
	memcpy(copy, text, length);
	copy[length] = '\0';
	block->used += length + 1;
	return copy;
}

const char *tree_text(struct tree *tree, const char *text, size_t length)
{
	return add_text(&tree->targets, text, length);
}

/* Names are an image's: with a secret key it cannot have all of them in one bucket. */
static uint32_t bucket_of(const struct tree *tree, uint32_t parent, const char *text, size_t length)
{
	struct siphash_key key = tree->key;

	key.words[0] ^= parent;
	return (uint32_t)siphash64(&key, text, length) & (tree->bucket_count - 1);
}

uint32_t tree_find(const struct tree *tree, uint32_t parent, const char *text, size_t length)
{
	uint32_t bucket = bucket_of(tree, parent, text, length);

	for (uint32_t i = tree->buckets[bucket]; i != UINT32_MAX; i = tree->names[i].chain) {
		const struct tree_name *name = &tree->names[i];

		if (name->parent == parent && strncmp(name->text, text, length) == 0 &&
		    name->text[length] == '\0')
			return i;
	}
	return UINT32_MAX;
}

static void hang(struct tree *tree, uint32_t i)
{
	struct tree_name *name = &tree->names[i];
	uint32_t bucket = bucket_of(tree, name->parent, name->text, strlen(name->text));

	name->chain = tree->buckets[bucket];
	tree->buckets[bucket] = i;
}

/* As many buckets as there is room for names. */
static int grow_names(struct tree *tree)
{
	uint32_t room = 2 * tree->name_room;
	struct tree_name *names = realloc(tree->names, room * sizeof(*names));
	uint32_t *buckets;

	if (!names)
		return -ENOMEM;
	tree->names = names;
	tree->name_room = room;
	buckets = realloc(tree->buckets, room * sizeof(*buckets));
	if (!buckets)
		return -ENOMEM;
	tree->buckets = buckets;
	tree->bucket_count = room;
	memset(buckets, 0xff, room * sizeof(*buckets));
	for (uint32_t i = 1; i < tree->name_count; i++)
		hang(tree, i);
	return 0;
}

/* Counts a name that is added. */
static int count_name(struct tree *tree, const char *text, size_t length)
{
	tree->text_bytes += length + 1;
	tree->grown = true;
	if (tree->name_count >= tree->names_max ||
	    (tree->partial && tree->text_bytes > TREE_PARTIAL_TEXTS_MAX))
		return -E2BIG;
	return tree->partial ? text_set_add(&tree->bases, text, length, SIZE_MAX) : 0;
}

int tree_look(struct tree *tree, uint32_t parent, const char *text, size_t length, uint32_t *ret)
{
	int r = 0;

	*ret = tree_find(tree, parent, text, length);
	if (*ret == UINT32_MAX)
		r = tree->partial ? tree_name(tree, parent, text, length, ret) : -ENOENT;
	if (r == 0)
		tree->unknown |= !tree->names[*ret].known;
	return r;
}

int tree_name(struct tree *tree, uint32_t parent, const char *text, size_t length, uint32_t *ret)
{
	uint32_t i = tree_find(tree, parent, text, length);
	int r;

	*ret = i;
	if (i != UINT32_MAX)
		return 0;
	r = count_name(tree, text, length);
	if (r < 0)
		return r;
	r = tree->name_count == tree->name_room ? grow_names(tree) : 0;
	if (r < 0)
		return r;
	text = add_text(&tree->texts, text, length);
	if (!text)
		return -ENOMEM;
	i = tree->name_count++;
	tree->names[i] = (struct tree_name){
		.text = text,
		.parent = parent,
		.child = UINT32_MAX,
		.next = tree->names[parent].child,
		.file = TREE_NO_FILE,
		.known = tree->bottom,
	};
	tree->names[parent].child = i;
	hang(tree, i);
	*ret = i;
	return 0;
}

struct tree_file *tree_file(const struct tree *tree, uint32_t name)
{
	uint32_t file = tree->names[name].file;

	return file == TREE_NO_FILE ? NULL : &tree->files[file];
}

int tree_make(struct tree *tree, uint32_t name, const struct tree_file *file)
{
	struct tree_file *files;

	if (tree->file_count >= tree->files_max)
		return -E2BIG;
	files = array_grow(tree->files, tree->file_count, &tree->file_room, sizeof(*files));
	if (!files)
		return -ENOMEM;
	tree->files = files;
	files[tree->file_count] = *file;
	tree->names[name].file = tree->file_count++;
	tree->names[name].known = true;
	return 0;
}

void tree_remove(struct tree *tree, uint32_t name)
{
	uint32_t i = name;

	/* Depth first, without a stack: a tree may be deep. */
	for (;;) {
		struct tree_name *at = &tree->names[i];
		bool enter = (at->file != TREE_NO_FILE || !at->known) && at->child != UINT32_MAX;

		at->file = TREE_NO_FILE;
		at->known = true;
		if (enter) {
			i = at->child;
			continue;
		}
		while (i != name && tree->names[i].next == UINT32_MAX)
			i = tree->names[i].parent;
		if (i == name)
			return;
		i = tree->names[i].next;
	}
}
