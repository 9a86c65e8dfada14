/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree of files in memory, as unpacked layers make it. A name keeps its place when its file is
 * removed, because rules of unpacking remember names, not files.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "layerindex/hash/siphash.h"

enum {
	/* Names of one tree, those of removed files included: our own limit. */
	TREE_NAMES_MAX = 20000000,
	TREE_ROOT = 0,
};

/* The place of a file in a tree's table; a name that has none has no file. */
#define TREE_NO_FILE UINT32_MAX

enum tree_type {
	TREE_FILE,
	TREE_DIRECTORY,
	TREE_SYMLINK,
	TREE_CHARACTER,
	TREE_BLOCK,
	TREE_FIFO,
};

/* A file, which several names may have. */
struct tree_file {
	enum tree_type type;
	uint32_t mode; /* permission bits with set-id and sticky bits */
	uint32_t uid, gid;
	int64_t size;
	struct timespec mtime;
	uint32_t layer;	    /* where its content is: counted from the bottom */
	uint64_t entry;	    /* which entry of that layer */
	const char *target; /* of a symbolic link; belongs to the tree */
};

struct tree_name {
	const char *text; /* belongs to the tree */
	uint32_t parent, child, next, chain;
	uint32_t file;	  /* TREE_NO_FILE: removed, or never made */
	uint32_t written; /* the layer that last wrote it, counted from 1; 0: none */
};

/* Holds what it was given. Begins as all zeros, then tree_init(). */
struct tree {
	struct tree_name *names;
	struct tree_file *files;
	uint32_t *buckets;
	struct siphash_key key;
	uint32_t name_count, name_room, file_count, bucket_count;
	size_t file_room;
	struct tree_text *texts;
};

/* Makes a tree of an empty root directory of mode 0755. Returns: 0 or -errno. */
int tree_init(struct tree *tree);
void tree_done(struct tree *tree);

/* The name *text* of *length* bytes in *parent*, or UINT32_MAX. */
uint32_t tree_find(const struct tree *tree, uint32_t parent, const char *text, size_t length);

/* The same, made where it is missing, without a file. Returns: 0; -E2BIG or -ENOMEM. */
int tree_name(struct tree *tree, uint32_t parent, const char *text, size_t length, uint32_t *ret);

/* The file of a name; NULL: it has none. Valid until a file is added. */
struct tree_file *tree_file(const struct tree *tree, uint32_t name);

/* Gives a name a new file, in place of what it had. Returns: 0; -E2BIG or -ENOMEM. */
int tree_make(struct tree *tree, uint32_t name, const struct tree_file *file);

/* Takes the files of a name, and of all below it, away. */
void tree_remove(struct tree *tree, uint32_t name);

/* A copy of *text* that lives as long as the tree; NULL without memory. */
const char *tree_text(struct tree *tree, const char *text, size_t length);
