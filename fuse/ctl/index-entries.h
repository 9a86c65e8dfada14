/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of a layer index, for the commands that list and remove them. */
#pragma once

#include <stdbool.h>

#include "fuse/base/error.h"
#include "fuse/base/text.h"
#include "layerindex/layerindex.h"

struct index_entries {
	struct li_index *index;	      /* owned; NULL: there is no such directory */
	struct li_index_entry *items; /* those used last come first; owned */
	size_t count, capacity;
	struct strings texts; /* of the entries */
	uint64_t bytes;	      /* of all of them */
};

/*
 * Reads all of the index in *directory*. That it is missing is no failure: nothing is in it.
 * Returns: 0, with *ret (index_entries_done()), or < 0 with *error*.
 */
int index_entries_read(const char *directory, struct index_entries *ret, struct view_error *error);

/*
 * Removes all of the index in *directory*, as much as can be, and looks at no layer. *ret* is how
 * many entries that were. Returns: 0, with *error* where an entry could not be removed; or < 0 with
 * *error*.
 */
int index_entries_remove(const char *directory, size_t *ret, struct view_error *error);

void index_entries_done(struct index_entries *entries);
DEFINE_CLEANUP(struct index_entries, index_entries_done)

/* "current" and so on. */
const char *index_state_name(enum li_entry_state state);

/* Whether no view will use it: stale, damaged, or left half-written by a writer that died. */
bool index_entry_is_useless(const struct li_index_entry *entry);
