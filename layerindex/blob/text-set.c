/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/blob/text-set.h"

#include <errno.h>
#include <stdlib.h>

enum { ROOM_FIRST = 256 };

/* What a slot holds that has no hash. */
enum { SLOT_FREE };

void text_set_clear(struct text_set *set)
{
	free(set->slots);
	*set = (struct text_set){.key = set->key};
}

/* The slot of a hash, or the one where it would go. */
static uint64_t *find_slot(uint64_t *slots, size_t room, uint64_t hash)
{
	size_t i = (size_t)hash & (room - 1);

	while (slots[i] != SLOT_FREE && slots[i] != hash)
		i = (i + 1) & (room - 1);
	return &slots[i];
}

static uint64_t hash_of(const struct text_set *set, const char *text, size_t length)
{
	uint64_t hash = siphash64(&set->key, text, length);

	return hash == SLOT_FREE ? hash + 1 : hash;
}

static int grow(struct text_set *set)
{
	size_t room = set->room > 0 ? 2 * set->room : ROOM_FIRST;
	uint64_t *slots = calloc(room, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < set->room; i++)
		if (set->slots[i] != SLOT_FREE)
			*find_slot(slots, room, set->slots[i]) = set->slots[i];
	free(set->slots);
	set->slots = slots;
	set->room = room;
	return 0;
}

int text_set_add(struct text_set *set, const char *text, size_t length, size_t max)
{
	uint64_t hash = hash_of(set, text, length);
	uint64_t *slot;

	/* A quarter stays free, so that a search ends soon. */
	if (4 * (set->used + 1) > 3 * set->room) {
		int r = set->room >= max ? -ENOSPC : grow(set);

		if (r < 0)
			return r;
	}
	slot = find_slot(set->slots, set->room, hash);
	set->used += *slot == SLOT_FREE;
	*slot = hash;
	return 0;
}

bool text_set_has(const struct text_set *set, const char *text, size_t length)
{
	uint64_t hash = hash_of(set, text, length);

	return set->used > 0 && *find_slot(set->slots, set->room, hash) == hash;
}
