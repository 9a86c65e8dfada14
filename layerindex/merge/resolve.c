/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk of a path through the merged tree: the kernel's link_path_walk() in a root of its own,
 * with overlayfs's lookup for each component. The kernel itself never walks an image's path.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "layerindex/cleanup.h"
#include "layerindex/descriptor.h"
#include "layerindex/join.h"
#include "layerindex/layerindex.h"
#include "layerindex/merge/merge.h"

struct walk {
	struct li_stack *stack;
	struct cursor at; /* the directory that the next component is looked up in */
	char *rest;	  /* memory of what is still to be walked; owned */
	const char *next; /* in rest */
	unsigned links;	  /* symlinks followed so far */
	bool searched;	  /* *at* was found to be searchable */
	bool nofollow;
};

static void walk_done(struct walk *walk)
{
	cursor_done(&walk->at);
	free(TAKE_PTR(walk->rest));
}

DEFINE_CLEANUP(struct walk, walk_done)

/*
 * Puts a symlink's body before what is left of the path. Apart: its room would be a page more of
 * the stack of every walk.
 */
static __attribute__((noinline)) int follow(struct walk *walk, const struct entry *link)
{
	char body[LI_PATH_MAX + 1];
	ssize_t n;
	char *rest;

	if (++walk->links > LI_LINKS_MAX)
		return -ELOOP;
	n = readlinkat(link->fd, "", body, sizeof(body));
	if (n < 0)
		return -errno;
	if (n == 0)
		return -ENOENT;
	if (n > LI_PATH_MAX)
		return -ENAMETOOLONG;
	if (asprintf(&rest, "%.*s%s", (int)n, body, walk->next) < 0)
		return -ENOMEM;
	if (body[0] == '/')
		cursor_root(&walk->at);
	free(walk->rest);
	walk->next = walk->rest = rest;
	return 0;
}

/* Cuts the next component out of the path; slashes around it are skipped but for those after it. */
static int next_name(struct walk *walk, char name[static LI_NAME_MAX + 1])
{
	size_t length;

	walk->next += strspn(walk->next, "/");
	length = strcspn(walk->next, "/");
	if (length > LI_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, walk->next, length);
	name[length] = '\0';
	walk->next += length;
	return 0;
}

/* Asks once for a run of dots: a link may be full of them. */
static int search(struct walk *walk)
{
	int r = walk->searched ? 0 : merge_search(walk->stack, &walk->at);

	walk->searched = r == 0;
	return r;
}

/* Returns: > 0 when *ret is the end of the walk, 0 to go on, or an error. */
static int walk_step(struct walk *walk, const char *name, struct entry *ret)
{
	cleanup_with(entry_done) struct entry entry = ENTRY_INIT;
	int r;

	if (strcmp(name, ".") == 0)
		return search(walk);
	if (strcmp(name, "..") == 0) {
		r = search(walk);
		if (r < 0)
			return r;
		walk->searched = walk->at.depth == 0;
		cursor_parent(&walk->at);
		return 0;
	}
	walk->searched = false;
	r = merge_lookup(walk->stack, &walk->at, name, &entry);
	if (r < 0)
		return r;
	if (S_ISDIR(entry.st.st_mode)) {
		/* What the index knows of a directory is not open. */
		if (walk->next[strspn(walk->next, "/")] || entry.fd < 0)
			return 0;
	} else if (S_ISLNK(entry.st.st_mode)) {
		/* A slash after it, even the last byte of the path, asks for what it leads to. */
		if (*walk->next || !walk->nofollow)
			return follow(walk, &entry);
	} else if (*walk->next) {
		return -ENOTDIR;
	}
	*ret = entry;
	entry.fd = -EBADF;
	return 1;
}

static int walk_to_end(struct walk *walk, char last[static LI_NAME_MAX + 1], struct entry *ret)
{
	for (;;) {
		int r = next_name(walk, last);

		/* The kernel looks at a name when it may search for it. */
		if (r < 0) {
			int may = search(walk);

			return may < 0 ? may : r;
		}
		if (!*last)
			return merge_self(walk->stack, &walk->at, ret);
		r = walk_step(walk, last, ret);
		if (r != 0)
			return r < 0 ? r : 0;
	}
}

/* A directory has become the position itself; anything else is a name in it. */
static char *origin_name(const struct walk *walk, const char *last, const struct entry *entry)
{
	if (S_ISDIR(entry->st.st_mode))
		return strdup(walk->at.path);
	return join(walk->at.path, walk->at.length > 0 ? "/" : "", last);
}

static int resolve(struct li_stack *stack, const char *path, unsigned flags, struct li_file *ret)
{
	cleanup_with(walk_done) struct walk walk = {
		.stack = stack,
		.nofollow = flags & LI_RESOLVE_NOFOLLOW,
	};
	cleanup_with(entry_done) struct entry entry = ENTRY_INIT;
	char last[LI_NAME_MAX + 1];
	char *name;
	int r;

	walk.next = walk.rest = strdup(path);
	if (!walk.rest)
		return -ENOMEM;
	r = cursor_init(&walk.at, li_stack_size(stack));
	if (r < 0)
		return r;
	r = walk_to_end(&walk, last, &entry);
	if (r < 0)
		return r;
	name = origin_name(&walk, last, &entry);
	if (!name)
		return -ENOMEM;
	*ret = (struct li_file){.st = entry.st, .layer = entry.layer, .name = name};
	ret->fd = TAKE_FD(entry.fd);
	return 0;
}

int li_resolve(struct li_stack *stack, const char *path, unsigned flags, struct li_file *ret)
{
	size_t known = stack->known;
	int r;

	stack->met_mark = false;
	if (!*path)
		return -ENOENT;
	if (strlen(path) > LI_PATH_MAX)
		return -ENAMETOOLONG;
	r = resolve(stack, path, flags, ret);
	/* The index was of no use: once more, and every layer is asked. */
	if (r == -ENODATA && stack->known != known)
		r = resolve(stack, path, flags, ret);
	return r;
}

void li_file_done(struct li_file *file)
{
	file->fd = close_keep_errno(file->fd);
	free(TAKE_PTR(file->name));
}

int li_file_open(const struct li_file *file)
{
	const int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	cleanup_close int fd = -EBADF;
	char link[DESCRIPTOR_PATH];
	struct stat st;

	if (!S_ISREG(file->st.st_mode))
		return -EINVAL;
	/* The magic link leads to the pinned inode, not to whatever has its name by now. */
	descriptor_path(file->fd, link);
	fd = openat(AT_FDCWD, link, flags | O_NOATIME);
	if (fd < 0 && errno == EPERM)
		fd = openat(AT_FDCWD, link, flags);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? TAKE_FD(fd) : -EINVAL;
}
