/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules: applyNaive(), createTarFile(), mkparent() and hardlinkRootPath() of containerd's archive
 * package. The kernel's part, what a call fails with, is in here, too.
 */
#include "layerindex/blob/apply.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "layerindex/array.h"
#include "layerindex/blob/entry-check.h"
#include "layerindex/blob/root-path.h"
#include "layerindex/cleanup.h"

static const char name_too_long[] = "a name is longer than 255 bytes";

int apply_init(struct apply *apply, bool partial)
{
	*apply = (struct apply){};
	return tree_init(&apply->tree, partial);
}

void apply_done(struct apply *apply)
{
	free(apply->deferred);
	free(apply->lost);
	tree_done(&apply->tree);
}

static int refuse(struct apply *apply, const char *reason)
{
	apply->reason = reason;
	return -EBADMSG;
}

int apply_restart(struct apply *apply, uint32_t layers)
{
	apply->layers = layers;
	apply->deferred_count = apply->lost_count = 0;
	return tree_restart(&apply->tree, layers == 0);
}

static bool is_directory(const struct tree_file *file)
{
	return file && file->type == TREE_DIRECTORY;
}

/* Makes the directories of a path that has no links, as far as they are missing. */
static int make_parents(struct apply *apply, const char *path, uint32_t *ret)
{
	const struct tree_file made = {.type = TREE_DIRECTORY, .mode = 0755};
	struct tree *tree = &apply->tree;
	uint32_t name = TREE_ROOT;

	while (*path) {
		size_t n = strcspn(path, "/");
		int r;

		if (n > NAME_MAX)
			return refuse(apply, name_too_long);
		if (n > 0) {
			r = tree_name(tree, name, path, n, &name);
			if (r == 0 && !tree_file(tree, name))
				r = tree_make(tree, name, &made);
			if (r < 0)
				return r;
			if (!is_directory(tree_file(tree, name)))
				return refuse(apply, "a file stands where a directory must be");
		}
		path += n;
		path += *path == '/';
	}
	*ret = name;
	return 0;
}

/* Where an entry goes. */
struct place {
	uint32_t parent;
	bool by_link;	  /* that is not the directory that the name says */
	const char *base; /* in the clean name; has a length */
	char name[ROOT_PATH_SIZE];
};

/* Splits a name at its last slash, and resolves what is before it. */
static int split(struct apply *apply, const char *clean, char ret_parent[ROOT_PATH_SIZE],
		 const char **ret_base)
{
	const char *slash = strrchr(clean, '/');
	char parent[ROOT_PATH_SIZE];
	size_t n = slash ? (size_t)(slash + 1 - clean) : 0;
	int r;

	memcpy(parent, clean, n);
	parent[n] = '\0';
	*ret_base = clean + n;
	r = root_path(&apply->tree, parent, ret_parent);
	if (r == -ENOTDIR)
		return refuse(apply, "a file stands where a directory must be");
	if (r == -ELOOP)
		return refuse(apply, "too many symbolic links");
	return r == -ENAMETOOLONG ? refuse(apply, "a path is too long") : r;
}

/* Whether the parent of a clean name is at another path, which is absolute and clean. */
static bool is_elsewhere(const struct place *place, const char *parent)
{
	const char *name = place->name + (*place->name == '/');
	size_t n = (size_t)(place->base - name);

	/* A slash stands before the one, and behind the other unless that is empty. */
	n -= n > 0;
	return strlen(parent) != n + 1 || strncmp(parent + 1, name, n) != 0;
}

/* Returns: 1, with the place; 0: the entry is the root, and means nothing; or -errno. */
static int find_place(struct apply *apply, const char *name, struct place *ret)
{
	char parent[ROOT_PATH_SIZE];
	int r = path_clean(name, ret->name);

	if (r < 0)
		return refuse(apply, "a path is too long");
	r = split(apply, ret->name, parent, &ret->base);
	if (r < 0)
		return r;
	if (entry_is_root(ret->base))
		return 0;
	ret->by_link = is_elsewhere(ret, parent);
	r = make_parents(apply, parent, &ret->parent);
	return r < 0 ? r : 1;
}

static bool is_own(const struct apply *apply, uint32_t name)
{
	const struct tree_name *names = apply->tree.names;

	return names[name].file != TREE_NO_FILE && names[name].written == apply->layers;
}

/*
 * Removes a name and all below it. Files of the layer at work are remembered: by the OCI
 * specification a whiteout hides only what is in the layers below.
 */
static int remove_all(struct apply *apply, uint32_t name)
{
	const struct tree_name *names = apply->tree.names;
	uint32_t i = name;

	for (;;) {
		if (is_own(apply, i)) {
			uint32_t *lost = array_grow(apply->lost, apply->lost_count,
						    &apply->lost_room, sizeof(*lost));

			if (!lost)
				return -ENOMEM;
			apply->lost = lost;
			lost[apply->lost_count++] = i;
		}
		if (names[i].child != UINT32_MAX) {
			i = names[i].child;
			continue;
		}
		while (i != name && names[i].next == UINT32_MAX)
			i = names[i].parent;
		if (i == name)
			break;
		i = names[i].next;
	}
	tree_remove(&apply->tree, name);
	return 0;
}

/* Whether all that the layer's own whiteouts removed is there again. */
static bool nothing_is_lost(struct apply *apply)
{
	size_t count = TAKE(apply->lost_count, 0);

	for (size_t i = 0; i < count; i++)
		if (apply->tree.names[apply->lost[i]].file == TREE_NO_FILE)
			return false;
	return true;
}

/* Removes what is below a directory, but for names that this layer wrote. */
static int make_opaque(struct apply *apply, uint32_t directory)
{
	const struct tree_name *names = apply->tree.names;
	uint32_t i = names[directory].child;

	while (i != UINT32_MAX) {
		bool kept = names[i].written == apply->layers;
		int r = kept ? 0 : remove_all(apply, i);

		if (r < 0)
			return r;
		if (kept && is_directory(tree_file(&apply->tree, i)) &&
		    names[i].child != UINT32_MAX) {
			i = names[i].child;
			continue;
		}
		while (names[i].next == UINT32_MAX && names[i].parent != directory)
			i = names[i].parent;
		i = names[i].next;
	}
	return 0;
}

/* Returns: 1: the entry was a whiteout; 0: it is a file; or -errno. */
static int take_whiteout(struct apply *apply, const struct place *place)
{
	const char *hidden;
	enum entry_mark mark = entry_mark_of(place->base, &hidden);
	uint32_t name;
	int r;

	if (mark == ENTRY_FILE)
		return 0;
	if (mark == ENTRY_OPAQUE) {
		r = make_opaque(apply, place->parent);
		return r < 0 ? r : 1;
	}
	name = tree_find(&apply->tree, place->parent, hidden, strlen(hidden));
	r = name == UINT32_MAX ? 0 : remove_all(apply, name);
	return r < 0 ? r : 1;
}

/* Times before 1970, and from 2262 on, are none. */
static struct timespec bounded(struct timespec time)
{
	static const struct timespec last = {INT64_MAX / 1000000000, INT64_MAX % 1000000000};

	if (time.tv_sec < 0 || time.tv_sec > last.tv_sec ||
	    (time.tv_sec == last.tv_sec && time.tv_nsec > last.tv_nsec))
		return (struct timespec){};
	return time;
}

/* chown(2) leaves an owner of -1 as it is. */
static void set_attributes(struct tree_file *file, const struct tar_entry *entry)
{
	if ((uint32_t)entry->uid != UINT32_MAX)
		file->uid = (uint32_t)entry->uid;
	if ((uint32_t)entry->gid != UINT32_MAX)
		file->gid = (uint32_t)entry->gid;
	if (file->type != TREE_SYMLINK)
		file->mode = (uint32_t)entry->mode & 07777;
	file->mtime = bounded(entry->mtime);
}

/*
 * Finds the file that a hard link is another name of. *looks*: what that is counts, whatever it is;
 * else only where a partial tree has the name.
 * Returns: 0; -ENOENT: there is none; or -errno.
 */
static int find_target(struct apply *apply, const struct tar_entry *entry, bool looks,
		       uint32_t *ret)
{
	char path[ROOT_PATH_SIZE], whole[2 * ROOT_PATH_SIZE];
	const char *base;
	int r = split(apply, entry->link, path, &base);

	if (r < 0)
		return r;
	snprintf(whole, sizeof(whole), "%s/%s", path, base);
	r = path_clean(whole, path);
	if (r < 0)
		return refuse(apply, "a hard link's target is too long");
	if (!looks && path_find(&apply->tree, path) == UINT32_MAX)
		return -ENOENT;
	r = path_walk(&apply->tree, path, PATH_ON_HOST, ret);
	return r == -E2BIG || r == -ENOMEM || r == 0 ? r : -ENOENT;
}

static int make_link(struct apply *apply, uint32_t name, const struct tar_entry *entry)
{
	const struct tree_file *target;
	uint32_t found;
	int r = find_target(apply, entry, true, &found);

	if (r == -ENOENT)
		return refuse(apply, "a hard link's target is missing");
	if (r < 0)
		return r;
	target = tree_file(&apply->tree, found);
	if (target->type == TREE_DIRECTORY)
		return refuse(apply, "a hard link's target is a directory");
	apply->tree.names[name].file = apply->tree.names[found].file;
	return 0;
}

static int make_symlink(struct apply *apply, uint32_t name, const struct tar_entry *entry)
{
	struct tree_file file = {.type = TREE_SYMLINK, .mode = 0777};

	file.target = tree_text(&apply->tree, entry->link, strlen(entry->link));
	return file.target ? tree_make(&apply->tree, name, &file) : -ENOMEM;
}

/* Takes the place of what was there, except a directory of a directory. */
static int make_file(struct apply *apply, uint32_t name, const struct tar_entry *entry)
{
	struct tree_file file = {.layer = apply->layers - 1, .entry = apply->entry};

	switch (entry->type) {
	case '0':
		file.type = TREE_FILE;
		file.size = entry->size;
		break;
	case '1': return make_link(apply, name, entry);
	case '2': return make_symlink(apply, name, entry);
	case '3': file.type = TREE_CHARACTER; break;
	case '4': file.type = TREE_BLOCK; break;
	case '6': file.type = TREE_FIFO; break;
	default:
		if (is_directory(tree_file(&apply->tree, name)))
			return 0;
		file.type = TREE_DIRECTORY;
		break;
	}
	return tree_make(&apply->tree, name, &file);
}

/* Remembers a directory's entry: its time is set when the layer is complete. *known*: a partial
 * tree has the directory. */
static int defer(struct apply *apply, const struct tar_entry *entry, bool known)
{
	struct apply_deferred *deferred = array_grow(apply->deferred, apply->deferred_count,
						     &apply->deferred_room, sizeof(*deferred));

	if (!deferred)
		return -ENOMEM;
	apply->deferred = deferred;
	deferred[apply->deferred_count] = (struct apply_deferred){
		.name = tree_text(&apply->tree, entry->name, strlen(entry->name)),
		.mtime = bounded(entry->mtime),
		.known = known,
	};
	return deferred[apply->deferred_count++].name ? 0 : -ENOMEM;
}

/* Finds what has a directory's name by now: of one that is not known, where a partial tree has it.
 * Returns: 0, with UINT32_MAX where there is nothing; or -errno. */
static int find_deferred(struct apply *apply, const struct apply_deferred *deferred, uint32_t *ret)
{
	char clean[ROOT_PATH_SIZE], path[ROOT_PATH_SIZE];
	int r = path_clean(deferred->name, clean);
	const char *base = "";

	if (r == 0)
		r = deferred->known ? root_path(&apply->tree, clean, path)
				    : split(apply, clean, path, &base);
	if (r < 0)
		return r;
	*ret = path_find(&apply->tree, path);
	if (!deferred->known && *ret != UINT32_MAX)
		*ret = tree_find(&apply->tree, *ret, base, strlen(base));
	return 0;
}

/* Sets the times of the layer's directories: of what has their names by now, which must exist. */
static int set_times(struct apply *apply)
{
	for (size_t i = 0; i < apply->deferred_count; i++) {
		const struct apply_deferred *deferred = &apply->deferred[i];
		struct tree_file *file;
		uint32_t name;

		if (find_deferred(apply, deferred, &name) < 0)
			return refuse(apply, "a directory's path became unusable");
		file = name == UINT32_MAX ? NULL : tree_file(&apply->tree, name);
		if (file)
			file->mtime = deferred->mtime;
		else if (deferred->known)
			return refuse(apply, "it has a directory that it removes again");
	}
	apply->deferred_count = 0;
	return 0;
}

/* Whether a partial tree knows nothing that an entry at a place changes. */
static bool is_nothing(struct apply *apply, const struct place *place,
		       const struct tar_entry *entry)
{
	uint32_t found = tree_find(&apply->tree, place->parent, place->base, strlen(place->base));

	if (!apply->tree.partial || found != UINT32_MAX ||
	    (apply->all_directories && entry->type == '5'))
		return false;
	/* A hard link changes the attributes of its target. */
	return entry->type != '1' || find_target(apply, entry, false, &found) == -ENOENT;
}

/* Whether an entry takes a file away from a name, if there is one. */
static bool replaces(const struct tree *tree, uint32_t name, const struct tar_entry *entry)
{
	return entry->type != '5' ||
	       (tree->names[name].known && !is_directory(tree_file(tree, name)));
}

int apply_entry(struct apply *apply, const struct tar_entry *entry)
{
	const char *reason = entry_check(entry);
	struct place place;
	uint32_t name;
	int r = reason ? refuse(apply, reason) : find_place(apply, entry->name, &place);

	if (r <= 0)
		return r;
	r = take_whiteout(apply, &place);
	if (r != 0)
		return r < 0 ? r : 0;
	/* Where a link led there, something else may have the name in the end. */
	if (is_nothing(apply, &place, entry))
		return entry->type == '5' && place.by_link ? defer(apply, entry, false) : 0;
	r = tree_name(&apply->tree, place.parent, place.base, strlen(place.base), &name);
	if (r < 0)
		return r;
	if (replaces(&apply->tree, name, entry))
		tree_remove(&apply->tree, name);
	if (entry->type != 'g') {
		r = make_file(apply, name, entry);
		if (r < 0)
			return r;
		set_attributes(tree_file(&apply->tree, name), entry);
	}
	apply->tree.names[name].written = apply->layers;
	return entry->type == '5' ? defer(apply, entry, true) : 0;
}

int apply_parents(struct apply *apply, const struct tar_entry *entry)
{
	struct place place;
	int r = find_place(apply, entry->name, &place);

	return r < 0 ? r : 0;
}

void apply_begin_layer(struct apply *apply)
{
	apply->layers++;
	apply->entry = 0;
	apply->name = NULL;
}

int apply_end_layer(struct apply *apply)
{
	int r;

	apply->name = NULL;
	r = set_times(apply);
	if (r < 0 || nothing_is_lost(apply))
		return r;
	apply->reason = "a whiteout removes a file of its own layer";
	return -EPROTONOSUPPORT;
}

/* Writes the path of a name, from its end. */
static int write_path(const struct tree *tree, uint32_t name, char ret[APPLY_PATH_SIZE])
{
	size_t at = APPLY_PATH_SIZE - 1;

	ret[at] = '\0';
	for (; name != TREE_ROOT; name = tree->names[name].parent) {
		size_t n = strlen(tree->names[name].text);
		bool slash = ret[at] != '\0';

		if (n + slash > at)
			return -ENAMETOOLONG;
		at -= n + slash;
		memcpy(ret + at, tree->names[name].text, n);
		if (slash)
			ret[at + n] = '/';
	}
	memmove(ret, ret + at, APPLY_PATH_SIZE - at);
	return 0;
}

int apply_find(struct apply *apply, const char *path, const struct tree_file **ret,
	       char ret_path[APPLY_PATH_SIZE])
{
	uint32_t name;
	int r = path_walk(&apply->tree, path, PATH_IN_IMAGE, &name);

	if (r == 0)
		r = write_path(&apply->tree, name, ret_path);
	if (r == 0)
		*ret = tree_file(&apply->tree, name);
	return r;
}
