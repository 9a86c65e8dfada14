/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The facts of the artifact store about an image: the answer for each path that a view asked for.
 * urunc-viewfs-store(5) describes the file that holds it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "layerindex/cleanup.h"
#include "layerindex/hash/digest.h"

enum {
	LI_STORE_PATHS_MAX = 16, /* answers of an image */
	STORE_FACTS_VERSION = 2,
	STORE_FACTS_FILE_MAX = 136 << 10, /* bytes of a file */
};

/* The key of an image. */
enum li_store_by {
	LI_STORE_CHAIN,	   /* its chain id (OCI image specification, config.md, "Layer ChainID") */
	LI_STORE_MANIFEST, /* its manifest's digest */
};

struct li_store_key {
	enum li_store_by by;
	struct li_digest id;
};

/* The source of the answers. */
enum li_store_source {
	LI_STORE_TREE, /* the image's unpacked tree */
	LI_STORE_BLOB, /* its layer blobs, whole */
	/* A table of contents in a blob. Nothing ties it to a diff id, so that such answers are
	 * never filed under a chain id. */
	LI_STORE_TOC,
};

enum li_store_kind {
	LI_STORE_ABSENT,   /* the image has nothing at the path */
	LI_STORE_ARTIFACT, /* a regular file; the store has its bytes */
	LI_STORE_OTHER,	   /* something that is not an artifact */
};

/* Which file an object is: its inode and last modification, as when the answer was filed. */
struct li_store_stamp {
	uint64_t inode;
	struct timespec modified;
};

/* The answer for one path. All behind *kind* but *reason* is about an artifact, else zero. */
struct li_store_answer {
	/* Absolute; no component is empty, "." or "..". Borrowed from the facts. */
	const char *path;
	enum li_store_kind kind;
	int reason;    /* of LI_STORE_OTHER: a positive errno value; else zero */
	uint32_t mode; /* the image's permission bits, 07777 at most */
	uint32_t uid, gid;
	struct timespec modified; /* by the image */
	uint64_t size;
	struct li_digest digest;
	struct li_store_stamp object;
	/* "sha256:HEX/PATH": the layer blob that has the file, and the path that links led to. NULL
	 * or "": unknown. Borrowed as *path*. */
	const char *origin;
};

struct li_store_facts {
	struct li_store_key key;
	struct li_digest chain; /* the image's chain id, by its configuration */
	enum li_store_source source;
	/* Layers of the manifest, and diff ids of the configuration; 0: unknown. Two known numbers
	 * are equal. */
	uint32_t layers, diff_ids;
	size_t count;
	struct li_store_answer answers[LI_STORE_PATHS_MAX];
	char *strings; /* what the paths are in; owned; may be NULL where the caller owns them */
};

/* Frees what *facts* owns. */
void li_store_facts_done(struct li_store_facts *facts);
DEFINE_CLEANUP(struct li_store_facts, li_store_facts_done)

/* Returns: the answer for *path*, borrowed; NULL: there is none. */
const struct li_store_answer *li_store_facts_find(const struct li_store_facts *facts,
						  const char *path);

/* Whether an answer can be filed under a path: see struct li_store_answer. */
bool store_path_is_sound(const char *path);

/*
 * Parses a file, which may hold any bytes.
 * Returns: 0, with *ret*, owned by the caller; -EPROTO: it is of another version; -EINVAL: damaged,
 *	or none of ours; -ENOMEM.
 */
int store_facts_decode(const void *bytes, size_t n, struct li_store_facts *ret);

/*
 * The inverse: decoding what was encoded gives the same facts, and the other way round.
 * Returns: 0, with an owned file in *ret; -EINVAL: the facts break a rule of the format; -ENOMEM.
 */
int store_facts_encode(const struct li_store_facts *facts, void **ret, size_t *ret_size);
