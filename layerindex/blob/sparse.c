/* SPDX-License-Identifier: Apache-2.0 */
/* Rules: readGNUSparseMap0x1() and validateSparseEntries() of Go's archive/tar. */
#include "layerindex/blob/sparse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "layerindex/array.h"

void sparse_done(struct sparse *sparse)
{
	free(sparse->regions);
	*sparse = (struct sparse){};
}

int sparse_add(struct sparse *sparse, struct region region)
{
	struct region *regions;

	if (sparse->count >= SPARSE_REGIONS_MAX)
		return -E2BIG;
	regions = array_grow(sparse->regions, sparse->count, &sparse->room, sizeof(*regions));
	if (!regions)
		return -ENOMEM;
	sparse->regions = regions;
	regions[sparse->count++] = region;
	return 0;
}

/* The next number of a list; false: there is none. */
static bool next_number(struct span *list, struct span *ret)
{
	const char *comma;

	if (!list->text)
		return false;
	comma = memchr(list->text, ',', list->length);
	ret->text = list->text;
	ret->length = comma ? (size_t)(comma - list->text) : list->length;
	if (comma)
		*list = (struct span){comma + 1, list->length - ret->length - 1};
	else
		*list = (struct span){};
	return true;
}

int sparse_parse(struct sparse *sparse, struct span count, struct span map)
{
	struct span number;
	int64_t wanted;

	sparse->used = true;
	if (tar_parse_int(count, &wanted) < 0 || wanted < 0)
		return -EBADMSG;
	if (map.length == 0)
		map.text = NULL;
	while (next_number(&map, &number)) {
		struct region region;
		int r = tar_parse_int(number, &region.offset);

		if (r < 0 || !next_number(&map, &number) ||
		    tar_parse_int(number, &region.length) < 0)
			return -EBADMSG;
		r = sparse_add(sparse, region);
		if (r < 0)
			return r;
	}
	return (uint64_t)wanted == sparse->count ? 0 : -EBADMSG;
}

bool sparse_is_valid(const struct sparse *sparse, int64_t size, int64_t held)
{
	int64_t end = 0, sum = 0;

	if (size < 0)
		return false;
	for (size_t i = 0; i < sparse->count; i++) {
		const struct region *region = &sparse->regions[i];

		if (region->offset < end || region->length < 0 ||
		    __builtin_add_overflow(region->offset, region->length, &end) || end > size)
			return false;
		sum += region->length;
	}
	return sum == held;
}
