/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/source/source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/source/bundle.h"
#include "fuse/source/containerd-mounts.h"
#include "fuse/source/layer-path.h"
#include "fuse/source/mounted-overlay.h"

static bool is_explicit(const struct overlay_options *typed)
{
	return typed->lowerdir_seen || typed->has_data_layers || typed->lowers.count > 0;
}

static int refuse_two_kinds(const struct layers_from *from, bool explicit, struct view_error *error)
{
	const char *kinds[] = {explicit ? "-o lowerdir=" : NULL, from->mounts ? "--mounts" : NULL,
			       from->bundle ? "--bundle" : NULL};
	const char *chosen = NULL;

	if (explicit && from->chain.given)
		return view_fail(error, MSG_TWO_KINDS, kinds[0], "--chain");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (kinds[i] && chosen)
			return view_fail(error, MSG_TWO_KINDS, chosen, kinds[i]);
		chosen = kinds[i] ? kinds[i] : chosen;
	}
	return 0;
}

/* Reads the kind into *ret*; returns the name for messages, owned, or NULL with *error. */
static char *read_kind(const struct layers_from *from, struct source *source,
		       struct overlay_options *ret, struct view_error *error)
{
	char *name = NULL;
	int r = 0;

	if (from->mounts)
		r = asprintf(&name, "--mounts=%s", from->mounts);
	else if (from->bundle)
		r = asprintf(&name, "bundle '%s'", from->bundle);
	else
		r = asprintf(&name, "'%s'", from->source);
	if (r < 0) {
		view_fail(error, MSG_NO_MEMORY);
		return NULL;
	}
	if (from->mounts) {
		r = mounts_read(from->mounts, name, ret, error);
	} else if (from->bundle) {
		r = bundle_read(from->bundle, ret, &source->annotations, error);
		source->from_mount = true;
	} else {
		r = mounted_read(from->source, ret, error);
		source->from_mount = r > 0;
	}
	if (r < 0)
		free(TAKE_PTR(name));
	return name;
}

/* The directory that holds snapshots/N/fs, which containerd's relative layers start from. */
static char *upper_base(const char *upper)
{
	cleanup_free char *base = NULL;

	if (!upper || *upper != '/')
		return NULL;
	base = strdup(upper);
	for (int i = 0; base && i < 2; i++) {
		size_t length = strlen(base);
		char *slash;

		while (length > 0 && base[length - 1] == '/')
			base[--length] = '\0';
		slash = strrchr(base, '/');
		if (!slash)
			return NULL;
		*slash = '\0';
	}
	return TAKE_PTR(base);
}

/*
 * What relative paths are relative to, owned; NULL where nothing says: *given* (basedir=), else the
 * working directory if they were typed, else the overlay's upper directory.
 */
static int find_base(const char *given, const char *upper, bool explicit, char **ret,
		     struct view_error *error)
{
	cleanup_free char *cwd = NULL;
	int r;

	*ret = NULL;
	if (!given && !explicit) {
		*ret = upper_base(upper);
		return 0;
	}
	if (given && *given == '/') {
		*ret = strdup(given);
		return *ret ? 0 : view_fail(error, MSG_NO_MEMORY);
	}
	cwd = getcwd(NULL, 0);
	if (!cwd)
		return view_fail(error, MSG_SYSTEM, "working directory", strerror(errno));
	if (!given) {
		*ret = TAKE_PTR(cwd);
		return 0;
	}
	r = asprintf(ret, "%s/%s", cwd, given);
	return r < 0 ? view_fail(error, MSG_NO_MEMORY) : 0;
}

static bool any_relative(const struct strings *layers)
{
	for (size_t i = 0; i < layers->count; i++)
		if (layers->items[i][0] != '/')
			return true;
	return false;
}

static int make_absolute(struct strings *layers, const char *base, const char *name,
			 struct view_error *error)
{
	for (size_t i = 0; i < layers->count; i++) {
		char *absolute;

		if (is_descriptor_path(layers->items[i])) {
			absolute = layer_path(layers->items[i]);
			if (!absolute)
				return view_fail(error, MSG_LAYER, i, layers->items[i],
						 strerror(errno));
		} else if (layers->items[i][0] == '/') {
			continue;
		} else if (!base) {
			return view_fail(error, MSG_RELATIVE_LAYER, name, layers->items[i]);
		} else if (asprintf(&absolute, "%s/%s", base, layers->items[i]) < 0) {
			return view_fail(error, MSG_NO_MEMORY);
		}
		free(layers->items[i]);
		layers->items[i] = absolute;
	}
	return 0;
}

/* Moves the layers and id maps of *overlay* into the source, where all paths are absolute. */
static int move_layers(struct source *source, struct overlay_options *overlay, const char *basedir,
		       bool explicit, struct view_error *error)
{
	cleanup_free char *base = NULL;

	if (overlay->has_data_layers)
		return view_fail(error, MSG_DATA_LAYERS, source->origin_label);
	if (overlay->lowers.count == 0)
		return view_fail(error, MSG_NO_LAYERS, source->origin_label);
	if (any_relative(&overlay->lowers) &&
	    find_base(basedir, overlay->upper, explicit, &base, error) < 0)
		return -ECANCELED;
	if (make_absolute(&overlay->lowers, base, source->origin_label, error) < 0)
		return -ECANCELED;
	source->layers = TAKE(overlay->lowers, ((struct strings){}));
	source->uids = TAKE(overlay->uids, ((struct idmap){}));
	source->gids = TAKE(overlay->gids, ((struct idmap){}));
	source->userxattr |= overlay->userxattr;
	return 0;
}

/* An id map that was typed beside another kind replaces that kind's own. */
static void override_idmap(struct idmap *found, struct idmap *typed)
{
	if (typed->count == 0)
		return;
	idmap_done(found);
	*found = TAKE(*typed, ((struct idmap){}));
}

/* The layers of any kind that is not typed. */
static int find_layers(const struct layers_from *from, const char *basedir, struct source *ret,
		       struct view_error *error)
{
	cleanup_with(overlay_options_done) struct overlay_options found = {};

	ret->origin_label = read_kind(from, ret, &found, error);
	return ret->origin_label ? move_layers(ret, &found, basedir, false, error) : -ECANCELED;
}

bool source_asks_store(const struct source *source, struct view_error *error)
{
	if (!source->chain.given || error->code != CODE_ENOTAPPLICABLE)
		return false;
	log_debug("%s; the artifact store is asked", error->message);
	error->code = CODE_NONE;
	return true;
}

int source_find(const struct layers_from *from, struct overlay_options *typed, const char *basedir,
		struct source *ret, struct view_error *error)
{
	cleanup_with(overlay_options_done) struct overlay_options own =
		TAKE(*typed, ((struct overlay_options){}));
	bool explicit = is_explicit(&own);
	int r = 0;

	if (refuse_two_kinds(from, explicit, error) < 0)
		return -ECANCELED;
	ret->userxattr = own.userxattr;
	ret->chain = from->chain;
	if (explicit) {
		ret->origin_label = strdup("lowerdir");
		return ret->origin_label ? move_layers(ret, &own, basedir, true, error)
					 : view_fail(error, MSG_NO_MEMORY);
	}
	if (from->mounts || from->bundle || !from->chain.given)
		r = find_layers(from, basedir, ret, error);
	override_idmap(&ret->uids, &own.uids);
	override_idmap(&ret->gids, &own.gids);
	return r < 0 && !source_asks_store(ret, error) ? -ECANCELED : 0;
}

int source_open(const struct source *source, const struct li_index *index, unsigned flags,
		struct retry retry, struct li_stack **ret, struct view_error *error)
{
	size_t n = source->layers.count;
	size_t bad;
	int r;

	if (source->userxattr)
		flags |= LI_STACK_USERXATTR;
	do
		r = li_stack_open(source->layers.items, n, flags, index, ret, &bad);
	while (r < 0 && retry_wait(&retry, r));
	if (r == 0)
		return 0;
	if (bad < n) {
		const char *path = source->layers.items[bad];

		if (is_resource_error(r))
			return view_fail(error, MSG_SYSTEM, path, strerror(-r));
		if (source->from_mount && (r == -ENOENT || r == -ENOTDIR))
			return view_fail(error, MSG_LAYER_GONE, source->origin_label, bad, path,
					 strerror(-r));
		return view_fail(error, MSG_LAYER, bad, path, strerror(-r));
	}
	switch (r) {
	case -EPERM: return view_fail(error, MSG_MARKS);
	case -ENOSYS: return view_fail(error, MSG_NO_PROC);
	case -E2BIG: return view_fail(error, MSG_LAYERS_MANY, n, LI_LAYERS_MAX);
	default: return view_fail(error, MSG_SYSTEM, source->origin_label, strerror(-r));
	}
}

void source_done(struct source *source)
{
	strings_clear(&source->layers);
	idmap_done(&source->uids);
	idmap_done(&source->gids);
	json_object_put(TAKE_PTR(source->annotations));
	free(TAKE_PTR(source->origin_label));
}
