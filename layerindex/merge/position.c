/* SPDX-License-Identifier: Apache-2.0 */
/* Invariant: a layer i is part of the directory *at* exactly if at->reach[i] >= at->depth. */
#include "layerindex/merge/position.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int position_init(struct position *at, size_t layers)
{
	*at = (struct position){.capacity = 256, .layers = layers};
	at->path = malloc(at->capacity);
	at->reach = calloc(layers, sizeof(*at->reach));
	if (!at->path || !at->reach) {
		position_done(at);
		return -ENOMEM;
	}
	at->path[0] = '\0';
	return 0;
}

void position_done(struct position *at)
{
	free(TAKE_PTR(at->path));
	free(TAKE_PTR(at->reach));
}

/* Cuts *at* back to its first *length* bytes, *depth* components. */
static void position_cut(struct position *at, size_t length, size_t depth)
{
	at->path[length] = '\0';
	at->length = length;
	at->depth = depth;
	for (size_t i = 0; i < at->layers; i++)
		if (at->reach[i] > depth)
			at->reach[i] = depth;
}

void position_root(struct position *at)
{
	position_cut(at, 0, 0);
}

void position_parent(struct position *at)
{
	const char *slash = strrchr(at->path, '/');

	if (at->depth > 0)
		position_cut(at, slash ? (size_t)(slash - at->path) : 0, at->depth - 1);
}

int position_append(struct position *at, const char *name)
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

void position_take_back(struct position *at, size_t length)
{
	at->path[length] = '\0';
	at->length = length;
}
