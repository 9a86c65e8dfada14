/* SPDX-License-Identifier: Apache-2.0 */
/* All entries of layers, for trees that hold all of an image. */
#pragma once

#include "layerindex/blob/apply.h"
#include "layerindex/blob/tar.h"
#include "layerindex/blob/toc.h"

/*
 * Is given each regular file's content while it passes, which it may read with tar_read(), or not.
 * Returns: 0 or -errno, which ends the layer.
 */
typedef int (*whole_content)(void *context, struct tar *tar, uint32_t layer, uint64_t entry);

/* Unpacks the next layer from the bottom. *content* may be NULL. Returns: as apply_end_layer(); or
 * what the source or *content* returned. */
int whole_layer(struct apply *apply, struct tar *tar, whole_content content, void *context);

/* Is given each range of a table. Returns: 0 or -errno, which ends the layer. */
typedef int (*whole_range)(void *context, uint32_t layer, uint64_t entry,
			   const struct toc_range *range);

/* The same by a blob's table of contents. */
int whole_table(struct apply *apply, struct toc *toc, whole_range range, void *context);
