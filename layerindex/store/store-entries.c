/* SPDX-License-Identifier: Apache-2.0 */
/* The store as its keeper sees it: what is in it, and whether that is what it must be. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "layerindex/descriptor.h"
#include "layerindex/store/store-dir.h"

int store_each_name(int directory, int (*visit)(const char *name, void *context), void *context)
{
	cleanup_with(close_directory) DIR *stream = NULL;
	const struct dirent *found;
	int r = 0;

	if (directory < 0)
		return 0;
	stream = open_directory(directory, ".");
	if (!stream)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && (errno = 0, found = readdir(stream)))
		if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
			r = visit(found->d_name, context);
	return r != 0 ? r : -errno;
}

struct object_walk {
	const struct li_store *store;
	store_object_visit *visit;
	void *context;
	int directory;
};

static int visit_object_name(const char *name, void *context)
{
	const struct object_walk *walk = context;

	if (!store_name_is_digest(name) && !new_file_is_temporary(name))
		return 0;
	return walk->visit(walk->directory, name, walk->context);
}

/* A name in objects: a directory of objects, or a file that has no name yet. */
static int visit_fan(const char *name, void *context)
{
	struct object_walk *walk = context;
	cleanup_close int fd = -EBADF;

	if (new_file_is_temporary(name))
		return walk->visit(walk->store->objects, name, walk->context);
	if (strlen(name) != 2 || strspn(name, "0123456789abcdef") != 2)
		return 0;
	fd = store_directory(walk->store->objects, name, false);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	walk->directory = fd;
	return store_each_name(fd, visit_object_name, walk);
}

int store_each_object(const struct li_store *store, store_object_visit *visit, void *context)
{
	struct object_walk walk = {store, visit, context, -EBADF};

	return store_each_name(store->objects, visit_fan, &walk);
}

struct each {
	const struct li_store *store;
	li_store_visit *visit;
	void *context;
	enum li_store_by by;
	int layers; /* the directory of name logs */
	bool hash, repair;
};

static void tell(const struct each *each, int directory, const char *name,
		 const struct li_store_entry *entry)
{
	if (each->repair && entry->state == LI_STORE_DAMAGED)
		unlinkat(directory, name, 0);
	each->visit(entry, each->context);
}

static uint64_t bytes_of(const struct stat *st)
{
	return (uint64_t)st->st_blocks * 512;
}

static int each_image(const char *name, void *context)
{
	const struct each *each = context;
	cleanup_with(li_store_facts_done) struct li_store_facts facts = {};
	int list = each->store->lists[each->by];
	struct li_store_entry entry = {.state = LI_STORE_TEMPORARY};
	struct stat st;
	char path[sizeof("layers/") + NAME_MAX];
	int r = 0;

	if (!store_name_is_digest(name) && !new_file_is_temporary(name))
		return 0;
	if (fstatat(list, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	snprintf(path, sizeof(path), "%s/%s", each->by == LI_STORE_CHAIN ? "chains" : "images",
		 name);
	entry.name = path;
	entry.bytes = bytes_of(&st);
	entry.used = st.st_mtim;
	if (store_name_is_digest(name)) {
		char hex[SHA256_DIGITS + 1] = "";

		r = store_facts_read(list, name, &facts, &st);
		if (r == -ENOENT)
			return 0;
		li_digest_print(&facts.key.id, hex);
		entry.state = LI_STORE_DAMAGED;
		if (r == 0 && facts.key.by == each->by && strcmp(hex, name) == 0 &&
		    store_has_objects(each->store, &facts) > 0) {
			entry.state = LI_STORE_CURRENT;
			entry.facts = &facts;
		}
	}
	tell(each, list, name, &entry);
	return 0;
}

static bool has_name(int fd, const char *name)
{
	struct li_digest want, got;

	return li_digest_parse(name, &want) == 0 && store_hash(fd, &got) == 0 &&
	       li_digest_equal(&want, &got);
}

static bool is_sound_object(const struct stat *st)
{
	return store_is_ours(st, S_IFREG, OBJECT_MODE) &&
	       st->st_mtim.tv_sec == store_object_time.tv_sec &&
	       st->st_mtim.tv_nsec == store_object_time.tv_nsec;
}

static int each_object(int directory, const char *name, void *context)
{
	const struct each *each = context;
	struct li_store_entry entry = {.state = LI_STORE_TEMPORARY, .is_object = true};
	cleanup_close int fd = -EBADF;
	struct stat st;
	char path[sizeof("layers/") + NAME_MAX];

	if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (new_file_is_temporary(name))
		snprintf(path, sizeof(path), "objects/%s", name);
	else
		snprintf(path, sizeof(path), "objects/%.2s/%s", name, name);
	entry.name = path;
	entry.bytes = bytes_of(&st);
	entry.used = st.st_mtim;
	fd = store_file_open(directory, name, &st);
	if (fd == -ENOENT)
		return 0;
	if (fd >= 0)
		entry.in_use = store_is_in_use(fd);
	if (store_name_is_digest(name)) {
		bool is_sound =
			fd >= 0 && is_sound_object(&st) && (!each->hash || has_name(fd, name));

		entry.state = is_sound ? LI_STORE_CURRENT : LI_STORE_DAMAGED;
	}
	tell(each, directory, name, &entry);
	return 0;
}

static int each_layer(const char *name, void *context)
{
	const struct each *each = context;
	struct li_store_entry entry = {.state = LI_STORE_TEMPORARY};
	struct stat st;
	char path[sizeof("layers/") + NAME_MAX];

	if (!store_name_is_digest(name) && !new_file_is_temporary(name))
		return 0;
	if (fstatat(each->layers, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	snprintf(path, sizeof(path), "layers/%s", name);
	entry.name = path;
	entry.bytes = bytes_of(&st);
	entry.used = st.st_mtim;
	if (store_name_is_digest(name))
		entry.state = store_is_ours(&st, S_IFREG, FACTS_MODE) ? LI_STORE_CURRENT
								      : LI_STORE_DAMAGED;
	tell(each, each->layers, name, &entry);
	return 0;
}

static int visit_all(struct each *each)
{
	cleanup_close int layers = store_layers_open(each->store, false);
	int r = 0;

	/* Where it is repaired the objects come first: then images that name them are seen. */
	if (each->repair)
		r = store_each_object(each->store, each_object, each);
	for (each->by = LI_STORE_CHAIN; r == 0 && each->by <= LI_STORE_MANIFEST; each->by++)
		r = store_each_name(each->store->lists[each->by], each_image, each);
	each->layers = layers;
	if (r == 0)
		r = store_each_name(layers, each_layer, each);
	return r == 0 && !each->repair ? store_each_object(each->store, each_object, each) : r;
}

int li_store_each(const struct li_store *store, li_store_visit *visit, void *context)
{
	return visit_all(&(struct each){.store = store, .visit = visit, .context = context});
}

int li_store_verify(const struct li_store *store, bool repair, li_store_visit *visit, void *context)
{
	return visit_all(&(struct each){.store = store,
					.visit = visit,
					.context = context,
					.hash = true,
					.repair = repair});
}

static int remove_name(const char *name, void *context)
{
	const int *directory = context;

	if (!store_name_is_digest(name) && !new_file_is_temporary(name))
		return 0;
	return unlinkat(*directory, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int remove_object(int directory, const char *name, void *context)
{
	(void)context;
	return unlinkat(directory, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int li_store_clear(const struct li_store *store)
{
	cleanup_close int lock = store_lock_all(store, true);
	cleanup_close int failed = store_failed_open(store, false);
	cleanup_close int layers = store_layers_open(store, false);
	int r = lock < 0 ? lock : 0;

	for (size_t i = 0; i < 2 && r == 0; i++) {
		int list = store->lists[i];

		r = store_each_name(list, remove_name, &list);
	}
	if (r == 0)
		r = store_each_name(failed, remove_name, &failed);
	if (r == 0)
		r = store_each_name(layers, remove_name, &layers);
	return r == 0 ? store_each_object(store, remove_object, NULL) : r;
}
