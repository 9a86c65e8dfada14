/* SPDX-License-Identifier: Apache-2.0 */
/* An ordered list of layers, as the modules of this library share it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "layerindex/cleanup.h"
#include "layerindex/layer/layer.h"
#include "layerindex/layerindex.h"

struct stack_index;

struct li_stack {
	struct layer *layers;
	char *paths; /* theirs, one after the other */
	size_t size;
	size_t open;	  /* layers with a descriptor, but for those given by one */
	size_t given;	  /* the latter */
	size_t open_most; /* that stay so */
	size_t known;	  /* the layer from which on the index speaks for all of them; size: none */
	struct stack_index *index; /* owned; NULL: there is none */
	bool userxattr;
	bool index_own; /* LI_STACK_INDEX_OWN */
	bool stacked;	/* some layer lies on overlayfs or FUSE */
	bool met_mark;	/* li_stack_met_mark() */
	bool no_openat2;
};

/* The meaning of a name in a merged directory: the topmost entry that counts. */
struct entry {
	int fd; /* O_PATH; owned */
	struct stat st;
	size_t layer;
};

#define ENTRY_INIT ((struct entry){.fd = -EBADF})

void entry_done(struct entry *entry);
DEFINE_CLEANUP(struct entry, entry_done)

/*
 * Opens a layer of the stack, unless it is open; where descriptors are scarce the other layers are
 * closed first. Returns: 0, or as layer_open().
 */
int stack_acquire(struct li_stack *stack, struct layer *layer);

/* Ends one use of a layer: those opened first stay open, the others are closed. */
void stack_release(struct li_stack *stack, struct layer *layer);

/* Closes all of them; each can be opened again. */
void stack_close_layers(struct li_stack *stack);

/*
 * Opens *path* in layer *i* and says what type it is.
 * Returns: 0, with *ret filled; -ESTALE: the layer is gone; or as layer_open_path().
 */
int stack_open_entry(struct li_stack *stack, size_t i, const char *path, struct entry *ret);
