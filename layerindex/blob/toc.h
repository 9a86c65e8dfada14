/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of contents that a layer blob may have: which files its archive holds, and where in the
 * blob each file's content begins. Two forms: of zstd:chunked (github.com/containers/storage,
 * pkg/chunked) and of eStargz (github.com/containerd/stargz-snapshotter, docs/estargz.md).
 */
#pragma once

#include "layerindex/blob/tar.h"
#include "layerindex/hash/digest.h"

enum toc_form {
	TOC_NONE,
	TOC_CHUNKED,
	TOC_ESTARGZ,
};

/* Bytes of a table, decoded. */
#define TOC_PLAIN_MAX (INT64_C(150) << 20)

/* The archive's file that an eStargz has its table in. */
#define TOC_ESTARGZ_NAME "stargz.index.json"

/* Where a file's content is: decoding the blob from *offset* on gives *skip* other bytes, and then
 * the content. */
struct toc_range {
	int64_t offset;
	int64_t end; /* behind the last byte that is needed; 0: the table does not say */
	int64_t skip;
	struct li_digest digest; /* of the content */
};

struct toc;

/* Returns: a reader of a table's JSON, owned by the caller; or NULL without memory. */
struct toc *toc_new(enum toc_form form, tar_source source, void *from);

/* Releases a reader; NULL is ignored. */
void toc_free(struct toc *toc);

/*
 * Goes to the next file. The table of an eStargz does not list itself: it is the last file, whose
 * content no range has.
 * Returns: 1, with the file, whose texts belong to the reader until the next call, in *ret*, and in
 *	*ret_range*, which is all zeros unless it is a regular file that is not empty; 0 at the end;
 *	-EBADMSG: the table is none, or does not say all that an archive says; -E2BIG: it exceeds a
 *	limit; or what the source returned.
 */
int toc_next(struct toc *toc, struct tar_entry *ret, struct toc_range *ret_range);
