/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/view/view.h"

#include <errno.h>
#include <string.h>

#include "fuse/base/clock.h"
#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/source/hints.h"
#include "fuse/source/mounted-compare.h"
#include "fuse/source/stored.h"
#include "fuse/view/index-policy.h"
#include "layerindex/join.h"

const char *roles_name(unsigned roles)
{
	static const char names[][24] = {
		[ROLE_CONFIG] = NAME_CONFIG,
		[ROLE_BINARY] = NAME_BINARY,
		[ROLE_CONFIG | ROLE_BINARY] = NAME_CONFIG "+" NAME_BINARY,
		[ROLE_INITRD] = NAME_INITRD,
		[ROLE_CONFIG | ROLE_INITRD] = NAME_CONFIG "+" NAME_INITRD,
		[ROLE_BINARY | ROLE_INITRD] = NAME_BINARY "+" NAME_INITRD,
		[ROLE_CONFIG | ROLE_BINARY | ROLE_INITRD] =
			NAME_CONFIG "+" NAME_BINARY "+" NAME_INITRD,
	};

	return names[roles];
}

/* The child whose name is *length* bytes at *name*, or 0. */
static uint32_t find_child(const struct view *view, uint32_t parent, const char *name,
			   size_t length)
{
	for (size_t i = VIEW_ROOT + 1; i < view->node_count; i++) {
		const struct node *node = &view->nodes[i];

		if (node->parent == parent && node->length == length &&
		    memcmp(node->name, name, length) == 0)
			return (uint32_t)i;
	}
	return 0;
}

uint32_t view_lookup(const struct view *view, uint32_t parent, const char *name)
{
	return find_child(view, parent, name, strlen(name));
}

static struct artifact *find_artifact(struct view *view, const char *path)
{
	for (size_t i = 0; i < view->artifact_count; i++)
		if (strcmp(view->artifacts[i].path, path) == 0)
			return &view->artifacts[i];
	return NULL;
}

/* Makes *path* an artifact, or gives the one that it is another role. */
static int add_artifact(struct view *view, enum role role, const char *path,
			struct view_error *error)
{
	const char *fault = urunc_path_fault(path);
	cleanup_free char *rooted = NULL;
	struct artifact *artifact;

	if (fault)
		return view_fail(error, MSG_ARTIFACT_PATH, roles_name(role), path, fault);
	rooted = join(*path == '/' ? "" : "/", path, "");
	if (!rooted)
		return view_fail(error, MSG_NO_MEMORY);
	artifact = find_artifact(view, rooted);
	if (!artifact) {
		artifact = &view->artifacts[view->artifact_count++];
		artifact->path = TAKE_PTR(rooted);
		artifact->fd = -EBADF;
	}
	artifact->roles |= role;
	return 0;
}

/* The artifact that *path* lies below, or NULL. */
static const struct artifact *artifact_above(const struct view *view, const char *path)
{
	for (size_t i = 0; i < view->artifact_count; i++) {
		size_t length = strlen(view->artifacts[i].path);

		if (strncmp(view->artifacts[i].path, path, length) == 0 && path[length] == '/')
			return &view->artifacts[i];
	}
	return NULL;
}

/* Adds the nodes from the root down to the artifact; the array is large enough. */
static void add_nodes(struct view *view, struct artifact *artifact)
{
	const char *name = artifact->path;
	uint32_t parent = VIEW_ROOT;

	while (*name) {
		size_t length = strcspn(++name, "/");
		uint32_t child = find_child(view, parent, name, length);

		if (!child) {
			child = (uint32_t)view->node_count++;
			view->nodes[child] =
				(struct node){.parent = parent, .name = name, .length = length};
		}
		name += length;
		if (!*name)
			view->nodes[child].artifact = artifact;
		parent = child;
	}
}

int view_build(struct view *view, struct view_error *error)
{
	size_t count = VIEW_ROOT + 1;

	for (size_t i = 0; i < view->artifact_count; i++) {
		const struct artifact *artifact = &view->artifacts[i];
		const struct artifact *above = artifact_above(view, artifact->path);

		if (above)
			return view_fail(error, MSG_ARTIFACT_BELOW, roles_name(artifact->roles),
					 artifact->path, above->path);
		for (const char *p = artifact->path; *p; p++)
			count += *p == '/';
	}
	view->nodes = calloc(count, sizeof(*view->nodes));
	if (!view->nodes)
		return view_fail(error, MSG_NO_MEMORY);
	view->node_count = VIEW_ROOT + 1;
	view->nodes[VIEW_ROOT].parent = VIEW_ROOT;
	for (size_t i = 0; i < view->artifact_count; i++)
		add_nodes(view, &view->artifacts[i]);
	return 0;
}

int view_init(struct view *view, const struct options *options, struct source *source,
	      struct image *image, const struct urunc_config *boot, struct view_error *error)
{
	*view = (struct view){
		.image = TAKE(*image, ((struct image){})),
		.uid = options->uid,
		.gid = options->gid,
		.mode = options->mode,
	};
	view->uids = TAKE(source->uids, ((struct idmap){}));
	view->gids = TAKE(source->gids, ((struct idmap){}));
	view->time = clock_read(CLOCK_REALTIME);
	if (add_artifact(view, ROLE_CONFIG, URUNC_JSON, error) < 0 ||
	    add_artifact(view, ROLE_BINARY, boot->binary, error) < 0)
		return -ECANCELED;
	if (boot->initrd && add_artifact(view, ROLE_INITRD, boot->initrd, error) < 0)
		return -ECANCELED;
	return view_build(view, error);
}

void view_done(struct view *view)
{
	for (size_t i = 0; i < view->artifact_count; i++) {
		close_keep_errno(view->artifacts[i].fd);
		free(view->artifacts[i].path);
		free(view->artifacts[i].origin);
	}
	free(view->nodes);
	idmap_done(&view->uids);
	idmap_done(&view->gids);
	image_close(&view->image);
	*view = (struct view){};
}

void view_undo(struct view *view, struct source *source)
{
	if (view->uids.count > 0)
		source->uids = TAKE(view->uids, ((struct idmap){}));
	if (view->gids.count > 0)
		source->gids = TAKE(view->gids, ((struct idmap){}));
	view_done(view);
}

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR: return "a directory";
	case S_IFIFO: return "a FIFO";
	case S_IFSOCK: return "a socket";
	default: return "a device";
	}
}

/* What the walk's errno means for an artifact. */
static int fail_resolve(const struct view *view, const struct artifact *artifact, int r,
			struct view_error *error)
{
	const char *role = roles_name(artifact->roles);

	if (image_met_mark(&view->image))
		return view_fail(error, MSG_ARTIFACT_MARK, role, artifact->path);
	switch (r) {
	case IMAGE_MISS: return image_fail_miss(&view->image, artifact->path, error);
	case -IMAGE_TARGET_PATH:
		return view_fail(error, MSG_ARTIFACT_PATH, role, artifact->path,
				 "its links lead to a path that is not allowed");
	case -ENOENT:
	case -ENOTDIR:
		return view_fail(error, MSG_ARTIFACT_NONE, role, artifact->path,
				 image_in_words(&view->image).text);
	case -ELOOP:
	case -ENAMETOOLONG:
		return view_fail(error, MSG_ARTIFACT_PATH, role, artifact->path, strerror(-r));
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE: return view_fail(error, MSG_SYSTEM, artifact->path, strerror(-r));
	default: return view_fail(error, MSG_ARTIFACT_LAYER, role, artifact->path, strerror(-r));
	}
}

/* urunc checks where the links end by the same rule as the path itself. */
static int check_target(const struct artifact *artifact, const struct image_file *file,
			struct view_error *error)
{
	const char *fault = file->name ? urunc_path_fault(file->name) : NULL;

	if (!S_ISREG(file->st.st_mode))
		return view_fail(error, MSG_ARTIFACT_TYPE, roles_name(artifact->roles),
				 artifact->path, type_name(file->st.st_mode));
	if (fault && artifact->roles != ROLE_CONFIG)
		return view_fail(error, MSG_ARTIFACT_PATH, roles_name(artifact->roles),
				 artifact->path, fault);
	if (file->st.st_size == 0)
		return view_fail(error, MSG_ARTIFACT_EMPTY, roles_name(artifact->roles),
				 artifact->path);
	return 0;
}

/* The file's attributes as the view shows them. */
static struct stat shown_attributes(const struct view *view, const struct stat *st)
{
	mode_t mode = view->mode >= 0 ? (mode_t)view->mode : st->st_mode & 07777;
	struct stat shown = {
		.st_mode = S_IFREG | (mode & ~0222U),
		.st_nlink = 1,
		.st_uid = view->uid >= 0 ? (uid_t)view->uid : idmap_apply(&view->uids, st->st_uid),
		.st_gid = view->gid >= 0 ? (gid_t)view->gid : idmap_apply(&view->gids, st->st_gid),
		.st_size = st->st_size,
		.st_blocks = st->st_blocks,
		.st_blksize = st->st_blksize,
		.st_atim = st->st_mtim,
		.st_mtim = st->st_mtim,
		.st_ctim = st->st_ctim,
	};

	return shown;
}

/* Makes *file* what the artifact shows. Takes its descriptor on success. */
static int artifact_adopt(struct view *view, struct artifact *artifact, struct image_file *file,
			  struct view_error *error)
{
	if (check_target(artifact, file, error) < 0)
		return -ECANCELED;
	artifact->origin = image_origin(&view->image, file);
	if (!artifact->origin)
		return view_fail(error, MSG_NO_MEMORY);
	artifact->fd = TAKE_FD(file->fd);
	artifact->st = shown_attributes(view, &file->st);
	artifact->layer = file->layer;
	artifact->digest = file->digest;
	artifact->state = ARTIFACT_READY;
	return 0;
}

int view_take_config(struct view *view, struct image_file *config, struct view_error *error)
{
	/* The config is the first artifact that a view gets. */
	return config->fd < 0 ? 0 : artifact_adopt(view, &view->artifacts[0], config, error);
}

/* Returns: 0, or < 0 with *error*; *ret_passing*: another attempt may succeed. */
static int resolve(struct view *view, struct artifact *artifact, bool *ret_passing,
		   struct view_error *error)
{
	cleanup_with(image_file_done) struct image_file file = IMAGE_FILE_INIT;
	int r = image_find(&view->image, artifact->path, &file);

	*ret_passing = is_passing_fault(r) && !image_met_mark(&view->image);
	if (r < 0)
		return fail_resolve(view, artifact, r, error);
	return artifact_adopt(view, artifact, &file, error);
}

int artifact_resolve(struct view *view, struct artifact *artifact, struct view_error *error)
{
	bool passing;
	int r;

	if (artifact->state == ARTIFACT_READY)
		return 0;
	r = resolve(view, artifact, &passing, error);
	if (r < 0 && !passing)
		artifact->state = ARTIFACT_MISSING;
	return r;
}

/* What the image is like, and not what failed in looking at it. */
static bool is_images_fault(enum view_code code)
{
	return code == CODE_ENOARTIFACT || code == CODE_EARTIFACT;
}

void artifact_report(struct artifact *artifact, const struct view_error *error)
{
	if (!artifact->reported &&
	    (artifact->roles != ROLE_CONFIG || error->code != CODE_ENOARTIFACT))
		log_error("%s", error->message);
	artifact->reported = true;
}

int view_resolve_early(struct view *view, struct view_error *error)
{
	for (size_t i = 0; i < view->artifact_count; i++) {
		struct artifact *artifact = &view->artifacts[i];
		int r = artifact_resolve(view, artifact, error);

		if (r == 0)
			continue;
		if (!is_images_fault(error->code))
			return r;
		artifact_report(artifact, error);
		error->code = CODE_NONE;
	}
	return 0;
}

/* What layers hold, or not, must be what a mounted overlay shows: else that is the error. */
static int artifact_compare(const struct artifact *artifact, const struct image *image,
			    const struct source *source, struct view_error *error)
{
	int found = artifact->state == ARTIFACT_READY ? artifact->fd : -EBADF;
	VIEW_ERROR(other);
	int r;

	if (!image->stack)
		return 0;
	r = mounted_compare(source, artifact->path, found, &other);

	if (r < 0)
		*error = other;
	return r;
}

int view_resolve(struct view *view, const struct source *source, struct view_error *error)
{
	for (size_t i = 0; i < view->artifact_count; i++) {
		struct artifact *artifact = &view->artifacts[i];
		int r = artifact_resolve(view, artifact, error);

		if ((r == 0 || error->code == CODE_ENOARTIFACT) &&
		    artifact_compare(artifact, &view->image, source, error) < 0)
			return -ECANCELED;
		if (r == 0)
			continue;
		if (artifact->roles != ROLE_CONFIG || !is_images_fault(error->code))
			return r;
		error->code = CODE_NONE;
	}
	return 0;
}

bool artifact_is_missing(const struct artifact *artifact)
{
	return artifact->roles != ROLE_CONFIG && artifact->state == ARTIFACT_MISSING;
}

bool view_all_resolved(const struct view *view)
{
	for (size_t i = 0; i < view->artifact_count; i++)
		if (view->artifacts[i].state == ARTIFACT_UNRESOLVED)
			return false;
	return true;
}

void view_release_layers(struct view *view)
{
	for (size_t i = 0; i < view->artifact_count; i++)
		if (view->artifacts[i].state == ARTIFACT_UNRESOLVED)
			view->artifacts[i].state = ARTIFACT_MISSING;
	image_close(&view->image);
}

struct stat view_attributes(const struct view *view, uint32_t node)
{
	const struct artifact *artifact = view->nodes[node].artifact;
	struct stat st;

	if (artifact) {
		st = artifact->st;
	} else {
		st = (struct stat){
			.st_mode = S_IFDIR | 0555,
			.st_nlink = 2,
			.st_blksize = 4096,
			.st_atim = view->time,
			.st_mtim = view->time,
			.st_ctim = view->time,
		};
		for (size_t i = VIEW_ROOT + 1; i < view->node_count; i++)
			st.st_nlink += view->nodes[i].parent == node && !view->nodes[i].artifact;
	}
	st.st_ino = node;
	return st;
}

static int open_layers(const struct options *options, struct source *source, bool make_index,
		       struct image *ret, struct view_error *error)
{
	unsigned flags = options->cache ? 0 : LI_STACK_INDEX_OWN;

	if (index_policy_open(options, source, make_index, &ret->index, error) < 0 ||
	    source_open(source, ret->index, flags, ret->retry, &ret->stack, error) < 0)
		return -ECANCELED;
	ret->layers = li_stack_size(ret->stack);
	index_policy_report(ret->stack);
	return 0;
}

/* The layers, or else the stored image. */
static int open_image(const struct options *options, struct source *source, bool make_index,
		      struct image *ret, struct view_error *error)
{
	if (source->layers.count > 0 || !source_names_stored(source)) {
		if (open_layers(options, source, make_index, ret, error) == 0)
			return 0;
		if (!source_asks_store(source, error))
			return -ECANCELED;
		image_close(ret);
	}
	return stored_open(source, options, ret, error);
}

/*
 * That an image has no configuration, or a bad one, counts only if it is the image's own. Apart:
 * the room for an error would be a page more of the stack of every start.
 */
static __attribute__((noinline)) void
compare_config(const struct source *source, const struct image *image, struct view_error *error)
{
	cleanup_with(image_file_done) struct image_file config = IMAGE_FILE_INIT;
	VIEW_ERROR(other);
	int r;

	if (!image->stack || (error->code != CODE_ECONFIG && error->code != CODE_ENOTAPPLICABLE))
		return;
	r = image_find(image, URUNC_JSON, &config);
	if ((r == 0 || r == -ENOENT) && mounted_compare(source, URUNC_JSON, config.fd, &other) < 0)
		*error = other;
}

int view_prepare(const struct options *options, struct source *source, bool make_index,
		 uint64_t start_us, struct view *ret, struct view_error *error)
{
	cleanup_with(urunc_config_done) struct urunc_config boot = {};
	cleanup_with(image_file_done) struct image_file config = IMAGE_FILE_INIT;
	cleanup_with(image_close) struct image image = {
		.retry.until_us = start_us + options->timeout * UINT64_C(900000)};
	int r = open_image(options, source, make_index, &image, error);

	if (r < 0)
		return r;
	r = urunc_config_read(options, source->annotations, &image, &boot, &config, error);
	if (r < 0) {
		compare_config(source, &image, error);
		if (error->code == CODE_ENOTAPPLICABLE && !source->from_mount)
			hint_at_form(&image, error);
		ret->image = TAKE(image, (struct image){});
		return r;
	}
	if (view_init(ret, options, source, &image, &boot, error) < 0)
		return -ECANCELED;
	return view_take_config(ret, &config, error);
}
