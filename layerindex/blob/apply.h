/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What containerd's applier makes of an image's layers on a filesystem that knows no overlays: on
 * what devmapper, blockfile and native snapshotters hold. It is the truth for images without layer
 * directories; order counts, and links of lower layers are followed.
 */
#pragma once

#include "layerindex/blob/layer-log.h"
#include "layerindex/blob/tar.h"
#include "layerindex/blob/toc.h"
#include "layerindex/blob/tree.h"

enum {
	APPLY_PATH_SIZE = 4096, /* of a path, with its NUL */
};

/* A directory's entry, whose time counts when the rest of its layer is there. */
struct apply_deferred {
	const char *name;
	struct timespec mtime;
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
	const char *reason; /* a sentence's end that names what is wrong with it; static */
};

/*
 * Is given each regular file's content while it passes. *name* is its name in the archive; it may
 * read with tar_read(), or not. Returns: 0 or -errno, which ends the layer.
 */
typedef int (*apply_content)(void *context, struct tar *tar, uint32_t layer, uint64_t entry);

/* Begins with an empty root. Returns: 0, with what apply_done() releases; or -ENOMEM. */
int apply_init(struct apply *apply);
void apply_done(struct apply *apply);

/*
 * Unpacks the next layer from the bottom. *content* may be NULL. The archive's source is left where
 * the archive ends.
 * Returns: 0; -EBADMSG: containerd refuses such a layer, *reason* says why; -EPROTONOSUPPORT: it
 *	unpacks it otherwise than the OCI specification says, so that nothing is certain; -E2BIG;
 *	-ENOMEM; or what the source or *content* returned. After an error the tree means nothing.
 */
int apply_layer(struct apply *apply, struct tar *tar, apply_content content, void *context);

/* Is given each range of a table. Returns: 0 or -errno, which ends the layer. */
typedef int (*apply_range)(void *context, uint32_t layer, uint64_t entry,
			   const struct toc_range *range);

/*
 * The same by a blob's table of contents: what apply_layer() makes of the blob, or an error.
 * Returns: as apply_layer(), or what *range* returned. That the table is unusable is -EBADMSG, too.
 */
int apply_table(struct apply *apply, struct toc *toc, apply_range range, void *context);

/* The same by the layer's name log. Returns: as apply_layer(). */
int apply_log(struct apply *apply, struct layer_log *log);

/*
 * The file that a process in the image would open at *path*: links are followed inside.
 * Returns: 0, with a file that belongs to *apply*, and the path where the links led, without a
 *	leading slash; -ENOENT; -ENOTDIR; -ELOOP; -ENAMETOOLONG.
 */
int apply_find(const struct apply *apply, const char *path, const struct tree_file **ret,
	       char ret_path[APPLY_PATH_SIZE]);
