/* SPDX-License-Identifier: Apache-2.0 */
/* Which regions of a sparse file an archive holds; the rest are holes. */
#pragma once

#include <stdbool.h>

#include "layerindex/blob/tar-number.h"

enum {
	/* Regions of one file: our own limit. */
	SPARSE_REGIONS_MAX = 1 << 20,
};

struct region {
	int64_t offset, length;
};

struct sparse {
	struct region *regions; /* owned */
	size_t count, room;
	bool used; /* the file is sparse; it may have no region */
};

void sparse_done(struct sparse *sparse);

/* Adds a region. Returns: 0; -E2BIG: too many; or -ENOMEM. */
int sparse_add(struct sparse *sparse, struct region region);

/*
 * The regions of *map*, "OFFSET,LENGTH,OFFSET,LENGTH…", which must be *count* (a number).
 * Returns: 0, or -errno as sparse_add(), -EBADMSG too.
 */
int sparse_parse(struct sparse *sparse, struct span count, struct span map);

/* Whether the regions are in order, do not overlap, lie in a file of *size* bytes, and are as many
 * bytes as the archive holds of it. */
bool sparse_is_valid(const struct sparse *sparse, int64_t size, int64_t held);
