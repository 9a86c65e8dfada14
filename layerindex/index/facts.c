/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/index/facts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct stamp stamp_of(const struct stat *st)
{
	return (struct stamp){
		.inode = st->st_ino,
		.size = (uint64_t)st->st_size,
		.modified = st->st_mtim.tv_sec,
		.changed = st->st_ctim.tv_sec,
		.modified_ns = (uint32_t)st->st_mtim.tv_nsec,
		.changed_ns = (uint32_t)st->st_ctim.tv_nsec,
	};
}

bool stamp_matches(const struct stamp *stamp, const struct stat *st)
{
	struct stamp found = stamp_of(st);

	return stamp->inode == found.inode && stamp->size == found.size &&
	       stamp->modified == found.modified && stamp->modified_ns == found.modified_ns &&
	       stamp->changed == found.changed && stamp->changed_ns == found.changed_ns;
}

const struct fact *facts_find(const struct facts *facts, const char *path)
{
	for (size_t i = 0; i < facts->count; i++)
		if (strcmp(facts_path(facts, &facts->items[i]), path) == 0)
			return &facts->items[i];
	return NULL;
}

int facts_add_string(struct facts *facts, const char *string, uint32_t *ret)
{
	size_t n = strlen(string) + 1;
	char *strings;

	if (n > FACTS_STRINGS_MAX - facts->size)
		return -E2BIG;
	strings = realloc(facts->strings, facts->size + n);
	if (!strings)
		return -ENOMEM;
	memcpy(strings + facts->size, string, n);
	*ret = (uint32_t)facts->size;
	facts->strings = strings;
	facts->size += n;
	return 0;
}

int facts_add(struct facts *facts, const char *path, const struct fact *fact)
{
	struct fact added = *fact;
	int r;

	if (facts->count == FACTS_MAX)
		return -E2BIG;
	r = facts_add_string(facts, path, &added.path);
	if (r == 0)
		facts->items[facts->count++] = added;
	return r;
}

void facts_done(struct facts *facts)
{
	free(TAKE_PTR(facts->strings));
	facts->count = facts->size = 0;
}
