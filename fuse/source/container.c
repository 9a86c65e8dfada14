/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd keeps the bundle of a running container in STATE/TASKS/NAMESPACE/ID, whatever started
 * the container. Only names that were read from these directories become parts of paths.
 */
#include "fuse/source/container.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuse/base/messages.h"

#if defined(__GNUC__) && !defined(__clang__)
/* The analyzer does not see that search_done() frees what is kept. */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

#define TASKS "io.containerd.runtime.v2.task"

/* containerd's own, which nerdctl uses, too; k3s's and rke2's; docker's own containerd's. */
static const char *const state_dirs[] = {
	"/run/containerd",
	"/run/k3s/containerd",
	"/run/docker/containerd/daemon",
};

struct search {
	const char *space; /* the namespace that was asked for, or NULL; not ended by a NUL */
	size_t space_length;
	const char *id;		       /* or its beginning */
	struct container found, other; /* other: a second one that fits as well */
	bool whole;		       /* those have the id itself */
	dev_t device;		       /* of what was found */
	ino_t inode;
	int fault; /* -errno of the last directory that is there and cannot be read; 0: none */
};

const char *container_id(const struct container *container)
{
	return strchr(container->name, '/') + 1;
}

void container_done(struct container *container)
{
	free(TAKE_PTR(container->name));
	free(TAKE_PTR(container->bundle));
}

static void search_done(struct search *search)
{
	container_done(&search->found);
	container_done(&search->other);
}
DEFINE_CLEANUP(struct search, search_done)

static int is_shown(const struct dirent *entry)
{
	return *entry->d_name != '.';
}

/* *ret* is owned. Returns: the number of entries, or < 0 with errno. */
static int list_directory(const char *path, struct dirent ***ret)
{
	*ret = NULL;
	return scandir(path, ret, is_shown, alphasort);
}

static void free_entries(struct dirent **entries, int n)
{
	for (int i = 0; i < n; i++)
		free(entries[i]);
	free(entries);
}

/* Keeps a container that fits. Returns: 0 or -ENOMEM. */
static int search_keep(struct search *search, const char *space, const char *id, const char *bundle)
{
	bool whole = strcmp(id, search->id) == 0;
	struct container *kept = &search->found;
	struct stat st;

	if (stat(bundle, &st) < 0 || !S_ISDIR(st.st_mode) || (search->whole && !whole))
		return 0;
	if (whole && !search->whole)
		search_done(search);
	if (search->found.name) {
		/* Two state directories may be one, by a link or a bind. */
		if (search->other.name ||
		    (st.st_dev == search->device && st.st_ino == search->inode))
			return 0;
		kept = &search->other;
	} else {
		search->whole = whole;
		search->device = st.st_dev;
		search->inode = st.st_ino;
	}
	if (asprintf(&kept->name, "%s/%s", space, id) < 0)
		kept->name = NULL;
	kept->bundle = strdup(bundle);
	return kept->name && kept->bundle ? 0 : -ENOMEM;
}

/* Looks at the containers of a namespace of containerd. Returns: 0 or -ENOMEM. */
static int search_namespace(struct search *search, const char *space, const char *path)
{
	struct dirent **entries;
	int n = list_directory(path, &entries);
	int r = 0;

	if (n < 0 && errno != ENOENT && errno != ENOTDIR)
		search->fault = -errno;
	for (int i = 0; i < n && r == 0; i++) {
		const char *id = entries[i]->d_name;
		char bundle[PATH_MAX];

		if (strncmp(id, search->id, strlen(search->id)) == 0 &&
		    snprintf(bundle, sizeof(bundle), "%s/%s", path, id) < PATH_MAX)
			r = search_keep(search, space, id, bundle);
	}
	free_entries(entries, n);
	return r;
}

/* Looks at all namespaces, or the one. Returns: 0 or -ENOMEM. */
static int search_state_dir(struct search *search, const char *state_dir)
{
	struct dirent **entries;
	char tasks[PATH_MAX], path[PATH_MAX];
	int n, r = 0;

	if (snprintf(tasks, sizeof(tasks), "%s/" TASKS, state_dir) >= PATH_MAX)
		return 0;
	n = list_directory(tasks, &entries);
	if (n < 0 && errno != ENOENT && errno != ENOTDIR)
		search->fault = -errno;
	for (int i = 0; i < n && r == 0; i++) {
		const char *space = entries[i]->d_name;

		if (search->space && (strncmp(space, search->space, search->space_length) != 0 ||
				      space[search->space_length]))
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", tasks, space) < PATH_MAX)
			r = search_namespace(search, space, path);
	}
	free_entries(entries, n);
	return r;
}

/* Of a user, whose containerd's is in their own directory (nerdctl). Returns: 0 or -ENOMEM. */
static int search_user(struct search *search)
{
	const char *directory = getenv("XDG_RUNTIME_DIR");
	char path[PATH_MAX];

	if (!directory || *directory != '/' ||
	    snprintf(path, sizeof(path), "%s/containerd", directory) >= PATH_MAX)
		return 0;
	return search_state_dir(search, path);
}

static int search_usual(struct search *search)
{
	int r = 0;

	for (size_t i = 0; i < sizeof(state_dirs) / sizeof(*state_dirs) && r == 0; i++)
		r = search_state_dir(search, state_dirs[i]);
	return r == 0 ? search_user(search) : r;
}

/* None was found. Returns: < 0 with *error*. */
static int refuse_none(const struct search *search, const struct container_wish *wanted,
		       struct view_error *error)
{
	struct stat st;

	if (wanted->state_dir && stat(wanted->state_dir, &st) < 0)
		return view_fail(error, MSG_STATE_DIR, wanted->state_dir, strerror(errno));
	if (search->fault < 0)
		return view_fail(error, MSG_CONTAINER_HIDDEN, wanted->container,
				 strerror(-search->fault));
	if (wanted->state_dir)
		return view_fail(error, MSG_CONTAINER_NONE_IN, wanted->container,
				 wanted->state_dir);
	return view_fail(error, MSG_CONTAINER_NONE, wanted->container);
}

int container_find(const struct container_wish *wanted, struct container *ret,
		   struct view_error *error)
{
	cleanup_with(search_done) struct search search = {.id = wanted->container};
	const char *slash = strchr(wanted->container, '/');
	int r;

	if (slash) {
		search.space = wanted->container;
		search.space_length = (size_t)(slash - wanted->container);
		search.id = slash + 1;
	}
	r = wanted->state_dir ? search_state_dir(&search, wanted->state_dir)
			      : search_usual(&search);
	if (r < 0)
		return view_fail(error, MSG_NO_MEMORY);
	if (!search.found.name)
		return refuse_none(&search, wanted, error);
	if (search.other.name)
		return view_fail(error, MSG_CONTAINER_MANY, wanted->container, search.found.name,
				 search.other.name);
	*ret = TAKE(search.found, ((struct container){}));
	return 0;
}
