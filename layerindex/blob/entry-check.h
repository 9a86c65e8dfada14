/* SPDX-License-Identifier: Apache-2.0 */
/* What an entry's name says, and what containerd refuses it for, whatever is below its layer. */
#pragma once

#include <stdbool.h>

#include "layerindex/blob/tar.h"

/* The last component of a clean name, which path_clean() makes. */
const char *entry_base(const char *clean);

/* Whether a clean name that ends so means the root: ".." follows nothing but itself. */
bool entry_is_root(const char *base);

/* What an entry is by the last component of its clean name. */
enum entry_mark {
	ENTRY_FILE,
	ENTRY_WHITEOUT,
	ENTRY_OPAQUE,
};

/* *ret_hidden* is what is left of *base* without the mark. */
enum entry_mark entry_mark_of(const char *base, const char **ret_hidden);

/* Returns: a sentence's end that names what is wrong with an entry; static; NULL: nothing. */
const char *entry_check(const struct tar_entry *entry);
