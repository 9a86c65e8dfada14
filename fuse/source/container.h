/* SPDX-License-Identifier: Apache-2.0 */
/* --container: a container's bundle, found by the container's id. */
#pragma once

#include "fuse/base/error.h"
#include "fuse/cli/layers-from.h"
#include "layerindex/cleanup.h"

struct container {
	char *name;   /* NAMESPACE/ID; owned */
	char *bundle; /* absolute; owned */
};

/* The id in NAMESPACE/ID; borrowed. */
const char *container_id(const struct container *container);

/*
 * Finds the one container whose id is, or begins with, *wanted*->container, below
 * *wanted*->state_dir or else below the usual state directories of containerd. NAMESPACE/ID names
 * the namespace of containerd, too. An id that is whole counts before one that begins so.
 * Returns: 0, with *ret*, which must be empty and is owned by the caller; < 0 with *error*:
 *	CODE_EUSAGE for several containers and a directory that cannot be read,
 *	CODE_ENOTAPPLICABLE for none.
 */
int container_find(const struct container_wish *wanted, struct container *ret,
		   struct view_error *error);

void container_done(struct container *container);
DEFINE_CLEANUP(struct container, container_done)
