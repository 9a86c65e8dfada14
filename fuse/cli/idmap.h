/* SPDX-License-Identifier: Apache-2.0 */
/* containerd's uidmap= and gidmap=: on-disk owner C+i is shown as H+i. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	IDMAP_RANGES_MAX = 340,	   /* UID_GID_MAP_MAX_EXTENTS, include/linux/user_namespace.h */
	IDMAP_OVERFLOW_ID = 65534, /* what an owner outside all ranges is shown as */
};

struct idmap_range {
	uint32_t container, host, size;
};

struct idmap {
	struct idmap_range *ranges; /* owned */
	size_t count;
};

/*
 * Appends one "CONTAINER:HOST:SIZE".
 * Returns: 0; -EINVAL: not of that form, empty, or beyond 32 bits; -E2BIG: too many; -ENOMEM.
 */
int idmap_append(struct idmap *map, const char *range);

/* The owner that is shown for *id*; an empty map changes nothing. */
uint32_t idmap_apply(const struct idmap *map, uint32_t id);

void idmap_done(struct idmap *map);
