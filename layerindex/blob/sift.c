/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/blob/sift.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "layerindex/blob/entry-check.h"

void sift_init(struct sift *sift, const struct siphash_key *key)
{
	sift->directories.key = *key;
}

void sift_done(struct sift *sift)
{
	text_set_clear(&sift->directories);
}

void sift_begin(struct sift *sift, bool all_directories)
{
	text_set_clear(&sift->directories);
	sift->is_looked_up = sift->is_made = sift->forgot = sift->turned = false;
	sift->all_directories = all_directories;
}

/* A clean path without what leads to the root or above it. */
static const char *inside(const char *clean)
{
	while (*clean == '/' || strcmp(clean, "..") == 0 || strncmp(clean, "../", 3) == 0)
		clean += *clean == '/' ? 1 : clean[2] ? 3 : 2;
	return clean;
}

static bool has_all(const struct text_set *directories, const char *path, size_t n)
{
	for (size_t i = 1; i <= n; i++)
		if ((i == n || path[i] == '/') && !text_set_has(directories, path, i))
			return false;
	return true;
}

/* Whether no link stands at any component of the first *n* bytes of a path. */
static bool is_certain(struct sift *sift, const char *path, size_t n)
{
	if (sift->is_looked_up && strncmp(sift->parent, path, n) == 0 && !sift->parent[n])
		return sift->is_certain;
	memcpy(sift->parent, path, n);
	sift->parent[n] = '\0';
	sift->is_looked_up = true;
	sift->is_certain = has_all(&sift->directories, path, n);
	return sift->is_certain;
}

/* The bytes of a path that are those of its parent. */
static size_t parent_length(const char *path, const char *base)
{
	return base > path ? (size_t)(base - path - 1) : 0;
}

/* Whether the tree has a name where an entry of *path* may go, in which *base* stands for the last
 * component. */
static bool concerns(struct sift *sift, const struct tree *tree, const char *path, size_t n,
		     const char *base)
{
	size_t length = strlen(base);
	uint32_t parent;

	if (!text_set_has(&tree->bases, base, length))
		return false;
	if (!is_certain(sift, path, n))
		return true;
	parent = path_find(tree, sift->parent);
	return parent != UINT32_MAX && tree_find(tree, parent, base, length) != UINT32_MAX;
}

/* The same of a hard link's target, whose attributes the link changes. */
static bool concerns_target(struct sift *sift, const struct tree *tree, const char *link)
{
	char clean[ROOT_PATH_SIZE];
	const char *path, *base;

	/* Where it climbs out of a link is not what the clean path says. */
	if (strstr(link, "..") || path_clean(link, clean) < 0)
		return true;
	path = inside(clean);
	base = entry_base(path);
	return entry_is_root(base) || concerns(sift, tree, path, parent_length(path, base), base);
}

/* How directories are remembered by one component: no clean path begins so. */
enum mark {
	MARK_CERTAIN = 1, /* the last one of a path that is */
	MARK_OTHER,	  /* any of another path */
};

static size_t mark(enum mark kind, const char *component, size_t n, char ret[NAME_MAX + 3])
{
	memset(ret, '/', kind);
	memcpy(ret + kind, component, n);
	return kind + n;
}

static int add_mark(struct sift *sift, enum mark kind, const char *component, size_t n)
{
	char text[NAME_MAX + 3];
	size_t length = mark(kind, component, n, text);

	return text_set_add(&sift->directories, text, length, SIFT_SLOTS_MAX);
}

/* Notes a directory. Returns: 0 or -ENOMEM. */
static int note_directory(struct sift *sift, const char *path, const char *base)
{
	int r = 0;

	if (is_certain(sift, path, parent_length(path, base))) {
		r = add_mark(sift, MARK_CERTAIN, base, strlen(base));
		if (r == 0)
			r = text_set_add(&sift->directories, path, strlen(path), SIFT_SLOTS_MAX);
		return r == -ENOMEM ? r : 0;
	}
	for (size_t n; r == 0 && *path; path += n + (path[n] == '/')) {
		n = strcspn(path, "/");
		r = add_mark(sift, MARK_OTHER, path, n);
	}
	return r == -ENOMEM ? r : 0;
}

static bool has_mark(const struct sift *sift, enum mark kind, const char *base)
{
	char text[NAME_MAX + 3];
	size_t length = mark(kind, base, strlen(base), text);

	return text_set_has(&sift->directories, text, length);
}

/* Whether *base* below the first *n* bytes of a path may be a directory that is remembered. */
static bool was_directory(struct sift *sift, const char *path, size_t n, const char *base)
{
	char text[ROOT_PATH_SIZE];
	size_t length = strlen(base);

	if (!is_certain(sift, path, n))
		return has_mark(sift, MARK_CERTAIN, base);
	memcpy(text, path, n);
	text[n] = '/';
	memcpy(text + n + (n > 0), base, length + 1);
	return text_set_has(&sift->directories, text, n + (n > 0) + length);
}

/* Notes that something else takes the place of *base* below the first *n* bytes of a path, or
 * nothing: if that was a directory, what is known of the ones below it is wrong. */
static void note_other(struct sift *sift, const char *path, size_t n, const char *base, bool links)
{
	bool forgets = was_directory(sift, path, n, base);

	sift->turned |= links && (forgets || sift->forgot || has_mark(sift, MARK_OTHER, base));
	if (!forgets)
		return;
	text_set_clear(&sift->directories);
	sift->is_looked_up = false;
	sift->forgot = true;
}

/* Whether the directories above an entry must be made, unless that was done just now. */
static bool must_make(struct sift *sift, const char *path, size_t n)
{
	if (n == 0 || is_certain(sift, path, n))
		return false;
	if (sift->is_made && strcmp(sift->made, sift->parent) == 0)
		return false;
	memcpy(sift->made, sift->parent, n + 1);
	sift->is_made = true;
	return true;
}

int sift_entry(struct sift *sift, const struct tree *tree, const struct tar_entry *entry,
	       bool parents)
{
	char clean[ROOT_PATH_SIZE];
	const char *path, *base, *hidden;
	enum entry_mark kind;
	size_t n;
	bool found;

	if (path_clean(entry->name, clean) < 0)
		return SIFT_ENTRY;
	path = inside(clean);
	base = entry_base(path);
	if (entry_is_root(base))
		return SIFT_NOTHING;
	n = parent_length(path, base);
	kind = entry_mark_of(base, &hidden);
	if (kind == ENTRY_OPAQUE)
		found = !is_certain(sift, path, n) || path_find(tree, sift->parent) != UINT32_MAX;
	else
		found = concerns(sift, tree, path, n, hidden) ||
			(kind == ENTRY_FILE && entry->type == '1' &&
			 concerns_target(sift, tree, entry->link));
	if (kind == ENTRY_FILE && entry->type == '5') {
		found |= sift->all_directories;
		if (note_directory(sift, path, base) < 0)
			return -ENOMEM;
	} else if (kind != ENTRY_OPAQUE) {
		note_other(sift, path, n, hidden,
			   kind == ENTRY_FILE && (entry->type == '1' || entry->type == '2'));
	}
	if (found) {
		sift->is_made = false;
		return SIFT_ENTRY;
	}
	return parents && must_make(sift, path, n) ? SIFT_PARENTS : SIFT_NOTHING;
}
