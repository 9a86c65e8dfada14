/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/blob/entry-check.h"

#include <limits.h>
#include <string.h>

#include "layerindex/blob/root-path.h"

#define WHITEOUT ".wh."
#define OPAQUE	 ".wh..wh..opq"

static const size_t whiteout_length = sizeof(WHITEOUT) - 1;

const char *entry_base(const char *clean)
{
	const char *slash = strrchr(clean, '/');

	return slash ? slash + 1 : clean;
}

bool entry_is_root(const char *base)
{
	return !*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0;
}

enum entry_mark entry_mark_of(const char *base, const char **ret_hidden)
{
	*ret_hidden = base;
	if (strncmp(base, WHITEOUT, whiteout_length) != 0)
		return ENTRY_FILE;
	*ret_hidden = base + whiteout_length;
	return strcmp(base, OPAQUE) == 0 ? ENTRY_OPAQUE : ENTRY_WHITEOUT;
}

/* What is wrong with a clean name, whatever the tree holds; NULL: nothing. */
static const char *check_name(const char *clean)
{
	const char *base = entry_base(clean), *hidden;
	enum entry_mark mark = entry_mark_of(base, &hidden);

	for (size_t n; clean < base; clean += n + 1) {
		n = strcspn(clean, "/");
		if (n > NAME_MAX)
			return "a name is longer than 255 bytes";
	}
	if (strlen(hidden) > NAME_MAX)
		return "a name is longer than 255 bytes";
	if (mark == ENTRY_WHITEOUT && entry_is_root(hidden))
		return "a whiteout names no file";
	return NULL;
}

const char *entry_check(const struct tar_entry *entry)
{
	char clean[ROOT_PATH_SIZE];
	const char *base, *hidden, *reason;

	if (path_clean(entry->name, clean) < 0)
		return "a path is too long";
	base = entry_base(clean);
	if (entry_is_root(base))
		return NULL;
	reason = check_name(clean);
	if (reason || entry_mark_of(base, &hidden) != ENTRY_FILE)
		return reason;
	if (!entry->type || !strchr("0123456g", entry->type))
		return "an entry's type is unknown";
	if (entry->type == '1' && strlen(entry->link) >= ROOT_PATH_SIZE)
		return "a hard link's target is too long";
	if (entry->type == '2' && (!*entry->link || strlen(entry->link) >= PATH_MAX))
		return "a symbolic link's target is empty or too long";
	return NULL;
}
