/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/source/source.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/source/bundle.h"
#include "fuse/source/container.h"
#include "fuse/source/containerd-mounts.h"
#include "fuse/source/hints.h"
#include "fuse/source/layer-path.h"
#include "layerindex/descriptor.h"

static bool is_explicit(const struct overlay_options *typed)
{
	return typed->lowerdir_seen || typed->has_data_layers || typed->lowers.count > 0;
}

static int refuse_two_kinds(const struct layers_from *from, bool explicit, struct view_error *error)
{
	const char *kinds[] = {explicit ? "-o lowerdir=" : NULL,
			       from->layer_fds.count > 0 ? "--layer-fd" : NULL,
			       from->mounts ? "--mounts" : NULL, from->bundle ? "--bundle" : NULL,
			       from->container.container ? "--container" : NULL};
	const char *stored[] = {from->chain.given ? "--chain" : NULL,
				from->content ? "--content" : NULL};
	const char *chosen = from->oci ? "--oci" : NULL;

	/* The store may be asked beside the kinds that find out whether there are layers. */
	for (size_t i = 0; i < 2; i++) {
		if (stored[i] && from->oci)
			return view_fail(error, MSG_TWO_KINDS, "--oci", stored[i]);
		if (stored[i] && (kinds[0] || kinds[1]))
			return view_fail(error, MSG_TWO_KINDS, kinds[0] ? kinds[0] : kinds[1],
					 stored[i]);
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (kinds[i] && chosen)
			return view_fail(error, MSG_TWO_KINDS, chosen, kinds[i]);
		chosen = kinds[i] ? kinds[i] : chosen;
	}
	return 0;
}

/* --bundle, or the bundle of --container. Returns: 0, or < 0 with *error*. */
static int read_bundle(const struct layers_from *from, struct source *source,
		       struct overlay_options *ret, struct view_error *error)
{
	cleanup_with(container_done) struct container container = {};
	const char *directory = from->bundle;

	source->from_mount = true;
	if (!directory) {
		if (container_find(&from->container, &container, error) < 0)
			return -ECANCELED;
		directory = container.bundle;
		source->container = strdup(container_id(&container));
		if (!source->container)
			return view_fail(error, MSG_NO_MEMORY);
	}
	source->bundle = strdup(directory);
	if (!source->bundle)
		return view_fail(error, MSG_NO_MEMORY);
	return bundle_read(directory, ret, &source->overlay, &source->annotations, error);
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
	else if (from->container.container)
		r = asprintf(&name, "container '%s'", from->container.container);
	else
		r = asprintf(&name, "'%s'", from->source);
	if (r < 0) {
		view_fail(error, MSG_NO_MEMORY);
		return NULL;
	}
	if (from->mounts) {
		r = mounts_read(from->mounts, name, ret, error);
	} else if (from->bundle || from->container.container) {
		r = read_bundle(from, source, ret, error);
	} else {
		r = mounted_read(from->source, ret, &source->overlay, error);
		source->from_mount = source->overlay.root >= 0;
	}
	source->resolve_ready = !from->mounts;
	if (r < 0)
		free(TAKE_PTR(name));
	return name;
}

/* Cuts the last *n* components off *path*, which is absolute. Returns: owned, or NULL. */
static char *ancestor(const char *path, int n)
{
	cleanup_free char *base = path && *path == '/' ? strdup(path) : NULL;

	for (int i = 0; base && i < n; i++) {
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

static bool leads_to_directory(const char *base, const char *path)
{
	cleanup_free char *whole = NULL;
	struct stat st;

	return base && asprintf(&whole, "%s/%s", base, path) >= 0 && stat(whole, &st) == 0 &&
	       S_ISDIR(st.st_mode);
}

/* The first relative one. */
static const char *find_relative(const struct strings *layers)
{
	for (size_t i = 0; i < layers->count; i++)
		if (layers->items[i][0] != '/')
			return layers->items[i];
	return NULL;
}

/*
 * Where the maker of a mount was when it named *relative*: containerd is in the directory of its
 * snapshots, N/fs, of which the upper directory is one; docker in the directory of its layers, two
 * above the mountpoint. Returns: owned; NULL where nothing says.
 */
static char *guess_base(const struct source *source, const char *upper, const char *relative)
{
	cleanup_free char *base = ancestor(upper, 2);
	const char *mountpoint = source->overlay.mountpoint;

	if (!mountpoint || leads_to_directory(base, relative))
		return TAKE_PTR(base);
	for (int above = 1; above <= 2; above++) {
		cleanup_free char *other = ancestor(mountpoint, above);

		/* The upper directory was named from the same place. */
		if (leads_to_directory(other, relative) &&
		    (!upper || *upper == '/' || leads_to_directory(other, upper)))
			return TAKE_PTR(other);
	}
	return TAKE_PTR(base);
}

/* *given* (basedir=), else the working directory; owned. Returns: 0, or < 0 with *error*. */
static int typed_base(const char *given, char **ret, struct view_error *error)
{
	cleanup_free char *cwd = NULL;
	int r;

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

/* Whether a path that was not typed leads to what its maker had open, which another process may not
 * have. */
static bool is_of_a_process(const char *path, bool from_mount)
{
	return is_descriptor_path(path) || (from_mount && strncmp(path, "/proc/", 6) == 0);
}

/* Makes room for descriptors of *n* layers. Returns: 0, or < 0 with *error*. */
static int make_fds(struct source *source, size_t n, struct view_error *error)
{
	if (source->fds)
		return 0;
	source->fds = calloc(n, sizeof(*source->fds));
	if (!source->fds)
		return view_fail(error, MSG_NO_MEMORY);
	source->fd_count = n;
	for (size_t i = 0; i < n; i++)
		source->fds[i] = -EBADF;
	return 0;
}

/* What the kernel calls the open directory *fd*: "/" for the root of a detached mount; owned. */
static char *name_of_fd(int fd)
{
	char link[DESCRIPTOR_PATH], path[PATH_MAX];
	ssize_t n;

	descriptor_path(fd, link);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return strdup(link);
	path[n] = '\0';
	return strdup(path);
}

/* Keeps the directory *fd* as layer *i* of *n*. Takes ownership of *fd* on success. */
static int hold_layer(struct source *source, size_t i, size_t n, int *fd, struct view_error *error)
{
	if (make_fds(source, n, error) < 0)
		return -ECANCELED;
	source->fds[i] = TAKE_FD(*fd);
	return 0;
}

/* A typed path through a descriptor: to a directory that has a path of its own, or to none. */
static int take_descriptor_path(struct source *source, const struct strings *layers, size_t i,
				char **ret, struct view_error *error)
{
	cleanup_close int fd = -EBADF;

	*ret = layer_path(layers->items[i]);
	if (*ret)
		return 0;
	if (errno == ENOENT)
		fd = open(layers->items[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return view_fail(error, MSG_LAYER, i, layers->items[i], strerror(errno));
	*ret = name_of_fd(fd);
	return *ret ? hold_layer(source, i, layers->count, &fd, error)
		    : view_fail(error, MSG_NO_MEMORY);
}

/* --layer-fd */
static int take_layer_fds(struct source *source, const struct layer_fds *given,
			  struct view_error *error)
{
	for (size_t i = 0; i < given->count; i++) {
		cleanup_close int fd = fcntl(given->items[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

		if (fd < 0)
			return view_fail(error, MSG_SYSTEM, "--layer-fd", strerror(errno));
		if (strings_take(&source->layers, name_of_fd(fd)) < 0)
			return view_fail(error, MSG_NO_MEMORY);
		if (hold_layer(source, i, given->count, &fd, error) < 0)
			return -ECANCELED;
	}
	return 0;
}

/* *base*, or NULL, is what relative paths are relative to. *explicit*: they were typed. */
static int make_absolute(struct source *source, struct strings *layers, const char *base,
			 bool explicit, struct view_error *error)
{
	const char *name = source->origin_label;

	for (size_t i = 0; i < layers->count; i++) {
		char *absolute;

		if (!explicit && is_of_a_process(layers->items[i], source->from_mount)) {
			return view_fail(error, MSG_LAYER_PROC, name, i, layers->items[i]);
		} else if (is_descriptor_path(layers->items[i])) {
			if (take_descriptor_path(source, layers, i, &absolute, error) < 0)
				return -ECANCELED;
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

/* The upper directory counts where it can be compared with what the overlay shows. */
static int move_upper(struct source *source, struct overlay_options *overlay, const char *base,
		      struct view_error *error)
{
	if (source->overlay.root < 0 || !overlay->upper)
		return 0;
	if (*overlay->upper == '/')
		source->upper = TAKE_PTR(overlay->upper);
	else if (base && asprintf(&source->upper, "%s/%s", base, overlay->upper) < 0)
		return view_fail(error, MSG_NO_MEMORY);
	return 0;
}

/* Moves the layers and id maps of *overlay* into the source, where all paths are absolute. */
static int move_layers(struct source *source, struct overlay_options *overlay, const char *basedir,
		       bool explicit, struct view_error *error)
{
	const char *relative = find_relative(&overlay->lowers);
	cleanup_free char *base = NULL;

	if (overlay->has_data_layers)
		return view_fail(error, MSG_DATA_LAYERS, source->origin_label);
	if (overlay->lowers.count == 0)
		return view_fail(error, MSG_NO_LAYERS, source->origin_label);
	if (relative && (explicit || basedir)) {
		if (typed_base(basedir, &base, error) < 0)
			return -ECANCELED;
	} else if (relative) {
		base = guess_base(source, overlay->upper, relative);
		source->from_mount = true;
	}
	if (make_absolute(source, &overlay->lowers, base, explicit, error) < 0 ||
	    move_upper(source, overlay, base, error) < 0)
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

bool source_has_blobs(const struct source *source)
{
	return source->blobs.oci || source->blobs.content;
}

bool source_names_stored(const struct source *source)
{
	return source->chain.given || source_has_blobs(source);
}

bool source_asks_store(const struct source *source, struct view_error *error)
{
	if (!source_names_stored(source) || error->code != CODE_ENOTAPPLICABLE)
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
	ret->blobs = (struct blob_place){
		.oci = from->oci, .content = from->content, .manifest = from->manifest};
	if (explicit || from->layer_fds.count > 0) {
		ret->origin_label = strdup(explicit ? "lowerdir" : "--layer-fd");
		if (!ret->origin_label)
			return view_fail(error, MSG_NO_MEMORY);
	}
	if (explicit)
		return move_layers(ret, &own, basedir, true, error);
	if (from->layer_fds.count > 0)
		r = take_layer_fds(ret, &from->layer_fds, error);
	else if (from->mounts || from->bundle || from->container.container ||
		 !source_names_stored(ret))
		r = find_layers(from, basedir, ret, error);
	override_idmap(&ret->uids, &own.uids);
	override_idmap(&ret->gids, &own.gids);
	return r < 0 && !source_asks_store(ret, error) ? -ECANCELED : 0;
}

int source_open(struct source *source, const struct li_index *index, unsigned flags,
		struct retry retry, struct li_stack **ret, struct view_error *error)
{
	size_t n = source->layers.count;
	size_t bad;
	int r;

	if (source->userxattr)
		flags |= LI_STACK_USERXATTR;
	if (source->from_mount)
		flags |= LI_STACK_NO_MAGICLINKS;
	do
		r = li_stack_open_given(source->layers.items, source->fds, n, flags, index, ret,
					&bad);
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
		if (source->from_mount && r == -ELOOP)
			return view_fail(error, MSG_LAYER_PROC, source->origin_label, bad, path);
		view_fail(error, MSG_LAYER, bad, path, strerror(-r));
		if (r == -EACCES && geteuid() == 0)
			hint_at_fuse(path, error);
		return -ECANCELED;
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
	for (size_t i = 0; i < source->fd_count; i++)
		close_keep_errno(source->fds[i]);
	free(TAKE_PTR(source->fds));
	strings_clear(&source->layers);
	idmap_done(&source->uids);
	idmap_done(&source->gids);
	json_object_put(TAKE_PTR(source->annotations));
	free(TAKE_PTR(source->bundle));
	free(TAKE_PTR(source->origin_label));
	free(TAKE_PTR(source->container));
	mounted_overlay_done(&source->overlay);
	free(TAKE_PTR(source->upper));
}
