/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments that say where the image comes from. */
#pragma once

#include <stddef.h>

#include "fuse/base/digest.h"

enum { LAYER_FDS_MAX = 500 };

/* A container that is named by its id. Both are borrowed from argv. */
struct container_wish {
	const char *container; /* --container=ID; NULL: not given */
	const char *state_dir; /* --state-dir=DIR; NULL: where containerd usually has it */
};

/* All strings are borrowed from argv; NULL: not given. */
struct layers_from {
	const char *source; /* SOURCE */
	const char *mounts; /* --mounts=FILE, "-" is stdin */
	const char *bundle; /* --bundle=DIR */
	struct container_wish container;
	struct digest_wish chain;    /* --chain=sha256:HEX */
	const char *oci;	     /* --oci=LAYOUT[:REF] */
	const char *content;	     /* --content=STORE */
	struct digest_wish manifest; /* --manifest=sha256:HEX */
	/* --layer-fd=N, topmost first: the caller's descriptors; at most LAYER_FDS_MAX. */
	struct layer_fds {
		int *items; /* owned */
		size_t count, capacity;
	} layer_fds;
};

/* Closes the descriptors of --layer-fd: this process needs them no more. */
void layer_fds_close(const struct layer_fds *fds);
