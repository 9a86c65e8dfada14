/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/cli/overlay-options.h"

#include <errno.h>
#include <string.h>

#include "fuse/base/messages.h"

/* Where the first part of *text* ends: at the end, or at a *stop* with no backslash before it. */
static char *end_of_part(char *text, char stop)
{
	for (;;) {
		char *end = strchrnul(text, stop);
		char *backslash = memchr(text, '\\', (size_t)(end - text));

		if (!backslash)
			return end;
		if (!backslash[1])
			return backslash + 1;
		text = backslash + 2;
	}
}

char *overlay_options_next(char **rest)
{
	char *option = *rest;
	char *p;

	if (!option)
		return NULL;
	p = end_of_part(option, ',');
	*rest = *p ? p + 1 : NULL;
	*p = '\0';
	return option;
}

void overlay_unescape(char *value)
{
	char *out = value = strchrnul(value, '\\');

	do {
		if (*value == '\\')
			value++;
		*out++ = *value;
	} while (*value++);
}

static int append_lower(struct overlay_options *overlay, const char *path, struct view_error *error)
{
	if (strings_take(&overlay->lowers, strdup(path)) < 0)
		return view_fail(error, MSG_NO_MEMORY);
	return 1;
}

/* The last lowerdir= wins, and resets lowerdir+= before it. "a::b" makes b a data-only layer. */
static int set_lowerdir(struct overlay_options *overlay, char *value, const char *where,
			struct view_error *error)
{
	cleanup_free char *whole = strdup(value);
	bool escaped = strchr(value, '\\');
	char *part = value;

	if (!whole)
		return view_fail(error, MSG_NO_MEMORY);
	strings_clear(&overlay->lowers);
	overlay->lowerdir_seen = true;
	overlay->has_data_layers = false;
	while (part) {
		char *end = end_of_part(part, ':');
		char *next = *end ? end + 1 : NULL;

		*end = '\0';
		if (escaped)
			overlay_unescape(part);
		/* "a::b": one empty part between two layers, and only data layers after it. */
		if (!*part && next && *next && *next != ':' && overlay->lowers.count > 0)
			overlay->has_data_layers = true;
		else if (!*part)
			return view_fail(error, MSG_LOWERDIR_EMPTY_PART, where, whole);
		else if (append_lower(overlay, part, error) < 0)
			return -ECANCELED;
		part = next;
	}
	return 1;
}

/* Literal: nothing is unescaped. */
static int set_lowerdir_plus(struct overlay_options *overlay, const char *value, const char *where,
			     struct view_error *error)
{
	if (overlay->lowerdir_seen)
		return view_fail(error, MSG_LOWERDIR_ORDER, where);
	if (!*value)
		return view_fail(error, MSG_LOWERDIR_EMPTY_PART, where, "");
	return append_lower(overlay, value, error);
}

static int set_idmap(struct overlay_options *overlay, struct idmap *map, const char *range,
		     struct view_error *error)
{
	const char *name = map == &overlay->uids ? "uidmap" : "gidmap";
	int r = idmap_append(map, range);

	if (r == -ENOMEM)
		return view_fail(error, MSG_NO_MEMORY);
	if (r < 0)
		return view_fail(error, MSG_OPTION_VALUE, name, range, "CONTAINER:HOST:SIZE");
	overlay->last_map = map;
	return 1;
}

static int set_upperdir(struct overlay_options *overlay, char *value, struct view_error *error)
{
	free(overlay->upper);
	overlay_unescape(value);
	overlay->upper = strdup(value);
	return overlay->upper ? 1 : view_fail(error, MSG_NO_MEMORY);
}

bool overlay_is_idmap_range(const char *key)
{
	return key[strspn(key, "0123456789")] == ':' && !key[strspn(key, "0123456789:")];
}

int overlay_options_set(struct overlay_options *overlay, const char *key, char *value,
			const char *where, struct view_error *error)
{
	struct idmap *last_map = TAKE_PTR(overlay->last_map);

	if (!value) {
		if (last_map && overlay_is_idmap_range(key))
			return set_idmap(overlay, last_map, key, error);
		if (strcmp(key, "userxattr") != 0)
			return 0;
		overlay->userxattr = true;
		return 1;
	}
	if (strcmp(key, "lowerdir") == 0)
		return set_lowerdir(overlay, value, where, error);
	if (strcmp(key, "lowerdir+") == 0)
		return set_lowerdir_plus(overlay, value, where, error);
	if (strcmp(key, "datadir+") == 0) {
		overlay->has_data_layers = true;
		return 1;
	}
	if (strcmp(key, "upperdir") == 0)
		return set_upperdir(overlay, value, error);
	if (strcmp(key, "uidmap") == 0)
		return set_idmap(overlay, &overlay->uids, value, error);
	if (strcmp(key, "gidmap") == 0)
		return set_idmap(overlay, &overlay->gids, value, error);
	return 0;
}

void overlay_options_done(struct overlay_options *overlay)
{
	strings_clear(&overlay->lowers);
	free(overlay->upper);
	idmap_done(&overlay->uids);
	idmap_done(&overlay->gids);
	*overlay = (struct overlay_options){};
}
