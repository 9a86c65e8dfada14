/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of texts by their hashes of 64 bits: 8 bytes for each, however long it is. With a secret
 * key no image can choose two texts of one hash.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layerindex/hash/siphash.h"

/* Begins as all zeros, with a key. */
struct text_set {
	struct siphash_key key;
	uint64_t *slots;   /* owned */
	size_t used, room; /* room is a power of two */
};

/* Removes all texts, and releases what the set owns. */
void text_set_clear(struct text_set *set);

/* Adds a text. Returns: 0; -ENOSPC: the set has *max* slots, and is full; or -ENOMEM. */
int text_set_add(struct text_set *set, const char *text, size_t length, size_t max);

bool text_set_has(const struct text_set *set, const char *text, size_t length);
