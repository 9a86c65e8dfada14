/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/blob/root-path.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

enum { KERNEL_LINKS_MAX = 40 };

/* The next component of a path, which may be empty. */
static size_t component(const char *path)
{
	return strcspn(path, "/");
}

static bool is_dots(const char *text, size_t length, size_t dots)
{
	return length == dots && strncmp(text, "..", length) == 0;
}

/* Drops the last component, unless there is none or it is "..". Returns: whether it did. */
static bool drop_last(char *path, size_t *length, size_t root)
{
	size_t start = *length;

	while (start > root && path[start - 1] != '/')
		start--;
	if (start == *length || is_dots(path + start, *length - start, 2))
		return false;
	*length = start > root && start > 0 ? start - 1 : start;
	if (*length < root)
		*length = root;
	return true;
}

int path_clean(const char *path, char ret[ROOT_PATH_SIZE])
{
	size_t root = *path == '/' ? 1 : 0;
	size_t length = root;

	if (root)
		ret[0] = '/';
	while (*path) {
		size_t n = component(path);
		bool up = is_dots(path, n, 2);

		if (n > 0 && !is_dots(path, n, 1) &&
		    !(up && (drop_last(ret, &length, root) || root))) {
			bool slash = length > root;

			if (length + slash + n >= ROOT_PATH_SIZE)
				return -ENAMETOOLONG;
			if (slash)
				ret[length++] = '/';
			memcpy(ret + length, path, n);
			length += n;
		}
		path += n;
		path += *path == '/';
	}
	if (length == 0)
		ret[length++] = '.';
	ret[length] = '\0';
	return 0;
}

/* filepath.Join(): an empty part is left out; nothing joined is "". */
static int join(const char *first, const char *second, size_t n, char ret[ROOT_PATH_SIZE])
{
	char joined[2 * ROOT_PATH_SIZE];
	size_t length = strlen(first);

	if (length + 1 + n >= sizeof(joined))
		return -ENAMETOOLONG;
	memcpy(joined, first, length);
	if (length > 0 && n > 0)
		joined[length++] = '/';
	memcpy(joined + length, second, n);
	joined[length + n] = '\0';
	if (length + n == 0) {
		*ret = '\0';
		return 0;
	}
	return path_clean(joined, ret);
}

uint32_t path_find(const struct tree *tree, const char *path)
{
	uint32_t name = TREE_ROOT;

	while (*path) {
		size_t n = component(path);

		if (n > 0)
			name = tree_find(tree, name, path, n);
		if (name == UINT32_MAX)
			return name;
		path += n;
		path += *path == '/';
	}
	return name;
}

/* A walk as the kernel does it. What of the path is still to go stands at the buffer's end. */
struct kernel_walk {
	struct tree *tree;
	enum path_rules rules;
	uint32_t at;
	int links;
	bool unknown;
	char *rest;
	char buffer[2 * ROOT_PATH_SIZE];
};

/* Puts a link's target in front of what is still to go. */
static int follow(struct kernel_walk *walk, const char *target)
{
	size_t n = strlen(target);

	if (++walk->links > KERNEL_LINKS_MAX)
		return -ELOOP;
	if (*target == '/') {
		if (walk->rules == PATH_ON_HOST)
			return -ENOENT;
		walk->at = TREE_ROOT;
	}
	if ((size_t)(walk->rest - walk->buffer) < n)
		return -ENAMETOOLONG;
	walk->rest -= n;
	memcpy(walk->rest, target, n);
	return 0;
}

/* Whether a path has a component "..". */
static bool climbs(const char *path)
{
	for (size_t n = 0; *path; path += n) {
		path += strspn(path, "/");
		n = component(path);
		if (is_dots(path, n, 2))
			return true;
	}
	return false;
}

/* Goes to the component of *n* bytes that is next. */
static int enter(struct kernel_walk *walk, size_t n)
{
	struct tree *tree = walk->tree;
	const char *text = walk->rest;
	const struct tree_file *file = tree_file(tree, walk->at);
	uint32_t name;
	int r;

	if (file && file->type != TREE_DIRECTORY)
		return -ENOTDIR;
	if (n > NAME_MAX)
		return -ENAMETOOLONG;
	walk->rest += n;
	if (is_dots(text, n, 1))
		return 0;
	if (is_dots(text, n, 2)) {
		if (walk->at == TREE_ROOT)
			return walk->rules == PATH_ON_HOST ? -ENOENT : 0;
		walk->at = tree->names[walk->at].parent;
		return 0;
	}
	r = tree_look(tree, walk->at, text, n, &name);
	if (r < 0)
		return r;
	file = tree_file(tree, name);
	/* As if it were a directory: what is behind it is looked at, too. */
	walk->unknown |= !tree->names[name].known;
	if (!file && tree->names[name].known) {
		tree->climbed |= climbs(walk->rest);
		return -ENOENT;
	}
	if (file && file->type == TREE_SYMLINK &&
	    (walk->rules == PATH_IN_IMAGE || *walk->rest != '\0'))
		return follow(walk, file->target);
	walk->at = name;
	return 0;
}

int path_walk(struct tree *tree, const char *path, enum path_rules rules, uint32_t *ret)
{
	struct kernel_walk walk = {.tree = tree, .rules = rules, .at = TREE_ROOT};
	size_t length = strlen(path);

	if (length >= ROOT_PATH_SIZE)
		return -ENAMETOOLONG;
	walk.rest = walk.buffer + sizeof(walk.buffer) - length - 1;
	memcpy(walk.rest, path, length + 1);
	for (;;) {
		int r;

		walk.rest += strspn(walk.rest, "/");
		if (!*walk.rest)
			break;
		r = enter(&walk, component(walk.rest));
		if (r < 0)
			return r;
	}
	*ret = walk.at;
	return walk.unknown ? -EAGAIN : 0;
}

/* Where the walk is: what it has resolved, absolute or not yet, and how many links that took. */
struct walk {
	struct tree *tree;
	char path[ROOT_PATH_SIZE];
	int links;
};

/*
 * walkLink() of one component: *walk* goes there, or to the target of the link that stands there.
 * *is_first*: nothing was before it, and the link's text stays as it is written.
 */
static int step(struct walk *walk, const char *text, size_t n, bool is_first)
{
	char candidate[ROOT_PATH_SIZE], absolute[ROOT_PATH_SIZE];
	const struct tree_file *file;
	uint32_t name;
	int r;

	if (walk->links > ROOT_PATH_LINKS_MAX)
		return -ELOOP;
	r = join(walk->path, text, n, candidate);
	if (r == 0 && *candidate == '/')
		memcpy(absolute, candidate, strlen(candidate) + 1);
	else if (r == 0)
		r = join("/", candidate, strlen(candidate), absolute);
	if (r < 0)
		return r;
	r = strcmp(absolute, "/") == 0 ? -ENOENT
				       : path_walk(walk->tree, absolute, PATH_ON_HOST, &name);
	if (r < 0 && r != -ENOENT && r != -EAGAIN)
		return r;
	file = r == 0 ? tree_file(walk->tree, name) : NULL;
	if (!file || file->type != TREE_SYMLINK) {
		memcpy(walk->path, absolute, sizeof(absolute));
		return 0;
	}
	walk->links++;
	if (strlen(file->target) >= ROOT_PATH_SIZE)
		return -ENAMETOOLONG;
	if (is_first || *file->target == '/') {
		memcpy(walk->path, file->target, strlen(file->target) + 1);
		return 0;
	}
	memcpy(candidate, walk->path, sizeof(candidate));
	return join(candidate, file->target, strlen(file->target), walk->path);
}

/* walkLinks(): each component once, from the left. */
static int pass(struct walk *walk, const char *path)
{
	bool is_first = *path != '/';
	int r = 0;

	memcpy(walk->path, is_first ? "" : "/", is_first ? 1 : 2);
	while (r == 0 && *path) {
		size_t n = component(path);

		if (n > 0) {
			r = step(walk, path, n, is_first);
			is_first = false;
		}
		path += n;
		path += *path == '/';
	}
	return r;
}

int root_path(struct tree *tree, const char *path, char ret[ROOT_PATH_SIZE])
{
	struct walk walk = {.tree = tree};
	char from[ROOT_PATH_SIZE];
	int before, r;

	if (strlen(path) >= sizeof(from))
		return -ENAMETOOLONG;
	memcpy(from, path, strlen(path) + 1);
	do {
		before = walk.links;
		r = pass(&walk, from);
		if (r < 0)
			return r;
		memcpy(from, walk.path, sizeof(from));
	} while (walk.links != before);
	return join("/", from, strlen(from), ret);
}
