/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an image has at the paths that are asked for, in memory that does not grow with its layers.
 *
 * Only entries that concern these paths, and what their links lead to, are kept (sift.h) and
 * applied (apply.h). That shows where else to look; then the layers are read again for those names,
 * until nothing new is looked at. Layers are read from the top. An answer is final, and the layers
 * below are not read, when nothing that it depends on was looked at that they may have.
 */
#pragma once

#include "layerindex/blob/apply.h"
#include "layerindex/blob/layer-log.h"
#include "layerindex/blob/sift.h"
#include "layerindex/blob/toc.h"

enum {
	/* Bytes of entries that are kept: at most; and, of all layers and of each one, that may be
	 * kept beside what is asked for, so that small layers need not be read again. */
	PARTIAL_KEPT_MAX = 4 << 20,
	PARTIAL_SMALL_MAX = 1 << 20,
	PARTIAL_SMALL_LAYER_MAX = 64 << 10,
};

/* The entries of a layer that are kept. */
struct kept_layer {
	char *bytes; /* of struct kept_entry, one after another; owned */
	size_t size, room;
	bool is_whole;	  /* all that it has */
	bool has_turned;  /* see sift_begin() */
	uint64_t version; /* of the names that they were kept for */
};

struct partial {
	struct apply apply;
	struct sift sift;
	struct kept_layer *layers; /* owned; the lowest first */
	uint32_t count, lowest;	   /* those from *lowest* on were read */
	size_t size;		   /* bytes that are kept */
	size_t small_layer_max;	   /* PARTIAL_SMALL_LAYER_MAX */
	bool parents;		   /* directories that an entry makes for itself count */
};

/* Begins with an image of *count* layers. Returns: 0, with what partial_done() releases; or
 * -ENOMEM. */
int partial_init(struct partial *partial, uint32_t count);
void partial_done(struct partial *partial);

/*
 * Reads a layer that partial_find() asked for, by its name log.
 * Returns: 0; -EBADMSG: containerd refuses such a layer, *apply.reason* says why; -EINVAL: it is
 *	not that layer's turn; -E2BIG; -ENOMEM; or what the source returned.
 */
int partial_read_log(struct partial *partial, uint32_t layer, struct layer_log *log);

/* The same by the table of contents of the layer's blob. */
int partial_read_table(struct partial *partial, uint32_t layer, struct toc *toc);

/*
 * Notes a path that partial_find() will be asked for: a layer that must be read again for several
 * paths is read once for all that were noted. Where that fails nothing is noted.
 */
void partial_expect(struct partial *partial, const char *path);

/* What is at a path. */
struct partial_answer {
	const struct tree_file *file; /* until the next call */
	struct toc_range range;	      /* if its layer was read by a table; else zeros */
	char path[APPLY_PATH_SIZE];   /* where links led, without a leading slash */
};

/*
 * The file that a process in the image would open at *path*.
 * Returns: 0; -EAGAIN: the layer *ret_layer* must be read, or read again; -ENOENT; -ENOTDIR;
 *	-ELOOP; -ENAMETOOLONG; -EBADMSG: containerd refuses the image, *apply* says where and why;
 *	-EPROTONOSUPPORT: as apply_end_layer(); -E2BIG; -ENOMEM.
 */
int partial_find(struct partial *partial, const char *path, struct partial_answer *ret,
		 uint32_t *ret_layer);
