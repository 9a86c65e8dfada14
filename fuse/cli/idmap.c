/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/cli/idmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/base/text.h"

int idmap_append(struct idmap *map, const char *range)
{
	uint64_t numbers[3];
	struct idmap_range *ranges;

	for (int i = 0; i < 3; i++) {
		size_t length = strcspn(range, ":");
		char digits[16];

		if (length >= sizeof(digits) || (range[length] == '\0') != (i == 2))
			return -EINVAL;
		memcpy(digits, range, length);
		digits[length] = '\0';
		if (parse_uint(digits, 10, UINT32_MAX, &numbers[i]) < 0)
			return -EINVAL;
		range += length + 1;
	}
	if (numbers[2] == 0 || numbers[0] + numbers[2] > UINT32_MAX ||
	    numbers[1] + numbers[2] > UINT32_MAX)
		return -EINVAL;
	if (map->count == IDMAP_RANGES_MAX)
		return -E2BIG;
	ranges = reallocarray(map->ranges, map->count + 1, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	map->ranges = ranges;
	map->ranges[map->count++] = (struct idmap_range){(uint32_t)numbers[0], (uint32_t)numbers[1],
							 (uint32_t)numbers[2]};
	return 0;
}

uint32_t idmap_apply(const struct idmap *map, uint32_t id)
{
	if (map->count == 0)
		return id;
	for (size_t i = 0; i < map->count; i++) {
		const struct idmap_range *range = &map->ranges[i];

		if (id >= range->container && id - range->container < range->size)
			return range->host + (id - range->container);
	}
	return IDMAP_OVERFLOW_ID;
}

void idmap_done(struct idmap *map)
{
	free(map->ranges);
	*map = (struct idmap){};
}
