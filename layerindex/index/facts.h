/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was found out about a layer and those below it, merged: for each path that was asked for,
 * what it is there, or that it is not. Paths are real ones, from the root, without symlinks in
 * them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "layerindex/cleanup.h"

enum {
	FACTS_MAX = 64,		      /* paths; three artifacts take a dozen */
	FACTS_STRINGS_MAX = 64 << 10, /* bytes of all of them */
};

enum fact_kind {
	FACT_ABSENT,
	FACT_DIRECTORY, /* *layer* has its topmost part */
	FACT_LEAF,	/* anything else, in *layer* */
};

/* By which a leaf is recognized when it is met again. */
struct stamp {
	uint64_t inode, size;
	int64_t modified, changed; /* seconds */
	uint32_t modified_ns, changed_ns;
};

struct fact {
	enum fact_kind kind;
	uint32_t path;	/* where it begins in the strings */
	uint32_t layer; /* counted from the topmost of these layers */
	struct stamp stamp;
};

struct facts {
	size_t count;
	char *strings; /* each ended by NUL; owned */
	size_t size;   /* of all of them */
	/* Last, because few are there: what is not touched takes no page. */
	struct fact items[FACTS_MAX];
};

struct stamp stamp_of(const struct stat *st);
bool stamp_matches(const struct stamp *stamp, const struct stat *st);

/* The fact about *path*, borrowed until *facts* changes; NULL: none is known. */
const struct fact *facts_find(const struct facts *facts, const char *path);

static inline const char *facts_path(const struct facts *facts, const struct fact *fact)
{
	return facts->strings + fact->path;
}

/*
 * Adds a string. Returns: 0, with where it begins in *ret; -E2BIG: there would be too many bytes;
 * -ENOMEM.
 */
int facts_add_string(struct facts *facts, const char *string, uint32_t *ret);

/* Adds *fact*, about *path*, of which none is known. Returns: 0; -E2BIG; -ENOMEM. */
int facts_add(struct facts *facts, const char *path, const struct fact *fact);

void facts_done(struct facts *facts);
DEFINE_CLEANUP(struct facts, facts_done)
