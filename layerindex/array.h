/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays that grow. */
#pragma once

#include <stddef.h>
#include <stdlib.h>

/*
 * Makes room for one more item of *size* bytes in *items*, which holds *count* and has room for
 * *capacity*. Returns: the items, which may have moved, or NULL without memory.
 */
static inline void *array_grow(void *items, size_t count, size_t *capacity, size_t size)
{
	size_t more = *capacity ? 2 * *capacity : 16;

	if (count < *capacity)
		return items;
	items = reallocarray(items, more, size);
	if (items)
		*capacity = more;
	return items;
}
