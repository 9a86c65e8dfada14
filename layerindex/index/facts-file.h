/* SPDX-License-Identifier: Apache-2.0 */
/* The file of an index that holds facts: urunc-viewfs-index(5) is its description. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "layerindex/index/facts.h"
#include "layerindex/index/identity.h"

enum {
	FACTS_FILE_VERSION = 2,
	FACTS_FILE_MAX = 69216, /* bytes of a file */
};

/* Whose facts they are. */
struct chain {
	struct chain_key key;
	struct identity top; /* of the topmost of the layers */
	uint32_t layers;     /* how many there are */
	uint32_t top_path;   /* in the facts' strings: whether that layer is still there */
};

/*
 * Parses a file, which may hold any bytes.
 * Returns: 0, with *ret_chain* and *ret*, owned by the caller; -EPROTO: it is of another version;
 *	-EINVAL: damaged, or none of ours; -ENOMEM.
 */
int facts_file_decode(const void *bytes, size_t n, struct chain *ret_chain, struct facts *ret);

/* Returns: 0, with an owned file in *ret; -ENOMEM. */
int facts_file_encode(const struct chain *chain, const struct facts *facts, void **ret,
		      size_t *ret_size);
