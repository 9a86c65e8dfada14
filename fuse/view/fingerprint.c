/* SPDX-License-Identifier: Apache-2.0 */
/* FNV-1a, of 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/ */
#include "fuse/view/fingerprint.h"

#include <string.h>

#define OFFSET_BASIS UINT64_C(0xcbf29ce484222325)
#define PRIME	     UINT64_C(0x100000001b3)

static void add_bytes(uint64_t *hash, const void *bytes, size_t n)
{
	const unsigned char *at = bytes;

	for (size_t i = 0; i < n; i++)
		*hash = (*hash ^ at[i]) * PRIME;
}

static void add_number(uint64_t *hash, uint64_t number)
{
	add_bytes(hash, &number, sizeof(number));
}

static void add_map(uint64_t *hash, const struct idmap *map)
{
	add_number(hash, map->count);
	for (size_t i = 0; i < map->count; i++) {
		add_number(hash, map->ranges[i].container);
		add_number(hash, map->ranges[i].host);
		add_number(hash, map->ranges[i].size);
	}
}

uint64_t view_fingerprint(const struct view *view, const struct options *options)
{
	size_t layers = li_stack_size(view->image.stack);
	uint64_t hash = OFFSET_BASIS;

	add_number(&hash, layers);
	for (size_t i = 0; i < layers; i++) {
		struct li_root root = li_stack_root(view->image.stack, i);

		add_number(&hash, root.dev);
		add_number(&hash, root.ino);
	}
	for (size_t i = 0; i < view->artifact_count; i++) {
		add_number(&hash, view->artifacts[i].roles);
		add_bytes(&hash, view->artifacts[i].path, strlen(view->artifacts[i].path) + 1);
	}
	add_map(&hash, &view->uids);
	add_map(&hash, &view->gids);
	add_number(&hash, (uint64_t)view->uid);
	add_number(&hash, (uint64_t)view->gid);
	add_number(&hash, (uint64_t)view->mode);
	add_number(&hash, options->passthrough);
	return hash;
}
