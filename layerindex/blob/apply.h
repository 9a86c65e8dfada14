/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What containerd's applier makes of an image's layers on a filesystem that knows no overlays: on
 * what devmapper, blockfile and native snapshotters hold. It is the truth for images without layer
 * directories; order counts, and links of lower layers are followed.
 */
#pragma once

#include "layerindex/blob/tar.h"
#include "layerindex/blob/tree.h"

enum {
	APPLY_PATH_SIZE = 4096, /* of a path, with its NUL */
};

/* A directory's entry, whose time counts when the rest of its layer is there. */
struct apply_deferred {
	const char *name;
	struct timespec mtime;
	bool known; /* the tree has it, which a partial one need not */
};

/* Layers that were unpacked so far, and why the last one was refused. */
struct apply {
	struct tree tree;
	uint32_t layers;
	uint64_t entry;	  /* the one at work, counted from 0 */
	const char *name; /* of it, as the archive has it, until that is released; NULL: unknown */
	struct apply_deferred *deferred; /* owned */
	size_t deferred_count, deferred_room;
	uint32_t *lost; /* names of the layer at work that it removed again; owned */
	size_t lost_count, lost_room;
	bool all_directories; /* of the layer at work are added to a partial tree */
	const char *reason;   /* a sentence's end that names what is wrong with it; static */
};

/*
 * Begins with an empty root. *partial*: only entries that concern what is looked at are applied,
 * see partial.h. Returns: 0, with what apply_done() releases; or -ENOMEM.
 */
int apply_init(struct apply *apply, bool partial);
void apply_done(struct apply *apply);

/*
 * Begins again with the names of a partial tree, and none of its files, above *layers* layers, of
 * which nothing is known. Returns: 0 or -ENOMEM.
 */
int apply_restart(struct apply *apply, uint32_t layers);

/* Begins the next layer from the bottom. */
void apply_begin_layer(struct apply *apply);

/*
 * Unpacks the layer's next entry; *apply->entry* and *name* are its caller's to set.
 * Returns: 0; -EBADMSG: containerd refuses such a layer, *reason* says why; -E2BIG; or -ENOMEM.
 *	After an error the tree means nothing.
 */
int apply_entry(struct apply *apply, const struct tar_entry *entry);

/* Makes only the directories that the entry lies in. Returns: as apply_entry(). */
int apply_parents(struct apply *apply, const struct tar_entry *entry);

/*
 * Ends the layer. Returns: as apply_entry(); -EPROTONOSUPPORT: containerd unpacks it otherwise than
 * the OCI specification says, so that nothing is certain.
 */
int apply_end_layer(struct apply *apply);

/*
 * The file that a process in the image would open at *path*: links are followed inside.
 * Returns: 0, with a file that belongs to *apply*, and the path where the links led, without a
 *	leading slash; or -errno as path_walk().
 */
int apply_find(struct apply *apply, const char *path, const struct tree_file **ret,
	       char ret_path[APPLY_PATH_SIZE]);
