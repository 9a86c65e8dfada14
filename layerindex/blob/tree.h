/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree of files in memory, as unpacked layers make it. A name keeps its place when its file is
 * removed, because rules of unpacking remember names, not files.
 *
 * A partial tree holds the names that were looked at, and no other. Layers that were not unpacked
 * may lie below: what they have at a name is unknown until the layers above have written or removed
 * it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "layerindex/blob/text-set.h"

enum {
	/* Names of one tree, those of removed files included: our own limit. */
	TREE_NAMES_MAX = 20000000,
	/* And of a partial one, with the bytes of their texts. */
	TREE_PARTIAL_NAMES_MAX = 32768,
	TREE_PARTIAL_TEXTS_MAX = 2 << 20,
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
	bool known;	  /* no layer below that was not unpacked shows here */
};

/* Holds what it was given. Begins as all zeros, then tree_init(). */
struct tree {
	struct tree_name *names;
	struct tree_file *files;
	uint32_t *buckets;
	struct siphash_key key;
	uint32_t name_count, name_room, file_count, bucket_count;
	uint32_t names_max, files_max; /* TREE_NAMES_MAX, or TREE_PARTIAL_NAMES_MAX */
	size_t file_room;
	struct tree_text *texts, *targets; /* of names; of files */
	size_t text_bytes;		   /* of names */
	/* Of a partial tree. */
	bool partial, bottom;  /* *bottom*: no layer lies below */
	struct text_set bases; /* all texts of names */
	bool grown;	       /* a name was added: what was unpacked before may concern it */
	bool unknown;	       /* a name was looked at that layers below may have */
	bool climbed;	       /* ".." behind a missing directory was looked at */
};

/* Makes a tree of an empty root directory of mode 0755. Returns: 0 or -errno. */
int tree_init(struct tree *tree, bool partial);

/* Removes all files, and keeps the names. *bottom*: no layer lies below the next one. Returns: 0 or
 * -ENOMEM. */
int tree_restart(struct tree *tree, bool bottom);

void tree_done(struct tree *tree);

/* The name *text* of *length* bytes in *parent*, or UINT32_MAX. */
uint32_t tree_find(const struct tree *tree, uint32_t parent, const char *text, size_t length);

/* The same, for what its file is: a name that a partial tree lacks is added. Returns: 0; -ENOENT: a
 * whole tree lacks it; -E2BIG or -ENOMEM. */
int tree_look(struct tree *tree, uint32_t parent, const char *text, size_t length, uint32_t *ret);

/* The same, made where it is missing, without a file. Returns: 0; -E2BIG or -ENOMEM. */
int tree_name(struct tree *tree, uint32_t parent, const char *text, size_t length, uint32_t *ret);

/* The file of a name; NULL: it has none. Valid until a file is added. */
struct tree_file *tree_file(const struct tree *tree, uint32_t name);

/* Gives a name a new file, in place of what it had. Returns: 0; -E2BIG or -ENOMEM. */
int tree_make(struct tree *tree, uint32_t name, const struct tree_file *file);

/* Takes the files of a name, and of all below it, away. */
void tree_remove(struct tree *tree, uint32_t name);

/* A copy of *text* that lives as long as the files; NULL without memory. */
const char *tree_text(struct tree *tree, const char *text, size_t length);
