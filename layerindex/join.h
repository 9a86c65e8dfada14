/* SPDX-License-Identifier: Apache-2.0 */
/* Strings put together, as asprintf(3) does it too, which formats twice. */
#pragma once

#include <stdlib.h>
#include <string.h>

/* Returns: the three one behind the other, owned by the caller, or NULL without memory. */
static inline char *join(const char *first, const char *second, const char *third)
{
	size_t lengths[] = {strlen(first), strlen(second), strlen(third)};
	char *joined = (char *)malloc(lengths[0] + lengths[1] + lengths[2] + 1);

	if (!joined)
		return NULL;
	memcpy(joined, first, lengths[0]);
	memcpy(joined + lengths[0], second, lengths[1]);
	memcpy(joined + lengths[0] + lengths[1], third, lengths[2] + 1);
	return joined;
}
