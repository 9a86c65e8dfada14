/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariant: a layer i is part of the directory *at* exactly if
 * at->member_depth[i] >= at->depth.
 */
#include "layerindex/merge/cursor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int cursor_init(struct cursor *at, size_t layers)
{
	*at = (struct cursor){.capacity = 256, .layers = layers};
	at->path = malloc(at->capacity);
	at->member_depth = calloc(layers, sizeof(*at->member_depth));
	if (!at->path || !at->member_depth) {
		cursor_done(at);
		return -ENOMEM;
	}
	at->path[0] = '\0';
	return 0;
}

void cursor_done(struct cursor *at)
{
	free(TAKE_PTR(at->path));
	free(TAKE_PTR(at->member_depth));
}

/* Cuts *at* back to its first *length* bytes, *depth* components. */
static void cursor_cut(struct cursor *at, size_t length, size_t depth)
{
	at->path[length] = '\0';
	at->length = length;
	at->depth = depth;
	for (size_t i = 0; i < at->layers; i++)
		if (at->member_depth[i] > depth)
			at->member_depth[i] = depth;
}

void cursor_root(struct cursor *at)
{
	cursor_cut(at, 0, 0);
}

void cursor_parent(struct cursor *at)
{
	const char *slash = strrchr(at->path, '/');

	if (at->depth > 0)
		cursor_cut(at, slash ? (size_t)(slash - at->path) : 0, at->depth - 1);
}

int cursor_append(struct cursor *at, const char *name)
{
	size_t length = strlen(name);
	size_t need = at->length + length + 2;

	/* No overflow: a walk's bytes are bounded by LI_LINKS_MAX bodies of LI_PATH_MAX. */
	if (need > at->capacity) {
		char *path = realloc(at->path, 2 * need);

		if (!path)
			return -ENOMEM;
		at->path = path;
		at->capacity = 2 * need;
	}
	if (at->length > 0)
		at->path[at->length++] = '/';
	memcpy(at->path + at->length, name, length + 1);
	at->length += length;
	return 0;
}

void cursor_take_back(struct cursor *at, size_t length)
{
	at->path[length] = '\0';
	at->length = length;
}
