/* SPDX-License-Identifier: Apache-2.0 */
/* The table of contents of a layer's blob, as far as the manifest vouches for it. */
#pragma once

#include <json-c/json.h>

#include "layerindex/blob/toc.h"

enum {
	BLOB_TABLE_MAX = 32 << 20, /* bytes of a table, as it is compressed in the blob */
};

struct blob_table {
	enum toc_form form; /* TOC_NONE: there is none, or the manifest does not vouch for it */
	struct li_digest digest; /* of TOC_CHUNKED: compressed; of TOC_ESTARGZ: of the JSON */
	int64_t offset, length;	 /* of TOC_CHUNKED: where it is in the blob */
};

/* What the annotations of a layer's descriptor say. What they say wrong counts as none. */
struct blob_table blob_table_of(struct json_object *descriptor);

/*
 * Finds the table in the blob. *ret* is a descriptor, owned by the caller, from whose place on
 * *ret_size* bytes are the table, compressed; of TOC_CHUNKED it is a copy that has the digest.
 * Returns: 0; -EBADMSG: it is not there; or -errno.
 */
int blob_table_open(const struct blob_table *table, int blob, int *ret, int64_t *ret_size);
