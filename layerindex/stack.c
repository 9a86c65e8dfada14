/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The merge of one name is fs/overlayfs/namei.c, ovl_lookup(), for lower layers: from the top, a
 * whiteout or a non-directory ends it, directories are collected, an opaque one is the last; and
 * only layers that make up the parent are asked.
 *
 * Invariant: a layer i is part of the directory *at* exactly if at->reach[i] >= at->depth.
 */
#include "layerindex/stack.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "layerindex/cleanup.h"
#include "layerindex/layer.h"
#include "layerindex/marks.h"
#include "layerindex/whiteout.h"

struct li_stack {
	struct layer *layers;
	size_t size;
	size_t open;	  /* layers with a descriptor */
	size_t open_most; /* that stay so */
	bool userxattr;
	bool stacked; /* some layer lies on overlayfs or FUSE */
	bool no_openat2;
};

static void close_layers(struct li_stack *stack)
{
	for (size_t i = 0; i < stack->size; i++)
		layer_close(&stack->layers[i]);
	stack->open = 0;
}

/* Opens a layer; where descriptors are scarce the other layers give theirs back first. */
static int acquire(struct li_stack *stack, struct layer *layer)
{
	int r;

	if (layer->fd >= 0)
		return 0;
	r = layer_open(layer);
	if ((r == -EMFILE || r == -ENFILE) && stack->open > 0) {
		close_layers(stack);
		r = layer_open(layer);
	}
	if (r == 0)
		stack->open++;
	return r;
}

/* Half of what the process may open is the caller's. */
static size_t open_most(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur / 2 > LI_OPEN_LAYERS)
		return LI_OPEN_LAYERS;
	return limit.rlim_cur / 2;
}

/* The first layers opened stay so; the others are closed after each use. */
static void release(struct li_stack *stack, struct layer *layer)
{
	if (layer->fd >= 0 && stack->open <= stack->open_most)
		return;
	layer_close(layer);
	stack->open--;
}

/* Asks a filesystem for its type; layers one after the other mostly lie on the same one. */
static int note_filesystem(struct li_stack *stack, size_t i)
{
	const struct layer *layer = &stack->layers[i];
	struct statfs fs;

	if (i > 0 && layer->dev == stack->layers[i - 1].dev)
		return 0;
	if (fstatfs(layer->fd, &fs) < 0)
		return -errno;
	if (fs.f_type == OVERLAYFS_SUPER_MAGIC || fs.f_type == FUSE_SUPER_MAGIC)
		stack->stacked = true;
	return 0;
}

int li_stack_open(char *const *paths, size_t n, unsigned flags, struct li_stack **ret,
		  size_t *ret_layer)
{
	struct li_stack *stack;
	int r;

	*ret_layer = n;
	if (n == 0)
		return -EINVAL;
	if (n > LI_LAYERS_MAX)
		return -E2BIG;
	r = marks_visible(flags & LI_STACK_USERXATTR);
	if (r < 0)
		return r;
	stack = calloc(1, sizeof(*stack));
	if (!stack)
		return -ENOMEM;
	stack->userxattr = flags & LI_STACK_USERXATTR;
	stack->open_most = open_most();
	stack->layers = calloc(n, sizeof(*stack->layers));
	r = stack->layers ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct layer *layer = &stack->layers[stack->size++];

		layer->fd = -EBADF;
		layer->path = strdup(paths[i]);
		if (!layer->path) {
			r = -ENOMEM;
			break;
		}
		r = acquire(stack, layer);
		if (r == 0) {
			r = note_filesystem(stack, i);
			release(stack, layer);
		}
		if (r < 0)
			*ret_layer = i;
	}
	if (r < 0) {
		li_stack_close(stack);
		return r;
	}
	*ret = stack;
	return 0;
}

void li_stack_close(struct li_stack *stack)
{
	if (!stack)
		return;
	for (size_t i = 0; i < stack->size; i++)
		layer_done(&stack->layers[i]);
	free(stack->layers);
	free(stack);
}

bool li_stack_is_stacked(const struct li_stack *stack)
{
	return stack->stacked;
}

bool li_stack_is_held(const struct li_stack *stack)
{
	return stack->open == stack->size;
}

size_t li_stack_size(const struct li_stack *stack)
{
	return stack->size;
}

const char *li_stack_path(const struct li_stack *stack, size_t layer)
{
	return stack->layers[layer].path;
}

int position_init(struct position *at, const struct li_stack *stack)
{
	*at = (struct position){.capacity = 256};
	at->path = malloc(at->capacity);
	at->reach = calloc(stack->size, sizeof(*at->reach));
	if (!at->path || !at->reach) {
		position_done(at);
		return -ENOMEM;
	}
	at->path[0] = '\0';
	return 0;
}

void position_done(struct position *at)
{
	free(TAKE_PTR(at->path));
	free(TAKE_PTR(at->reach));
}

/* Cuts *at* back to its first *length* bytes, *depth* components. */
static void position_cut(struct position *at, const struct li_stack *stack, size_t length,
			 size_t depth)
{
	at->path[length] = '\0';
	at->length = length;
	at->depth = depth;
	for (size_t i = 0; i < stack->size; i++)
		if (at->reach[i] > depth)
			at->reach[i] = depth;
}

void position_root(struct position *at, const struct li_stack *stack)
{
	position_cut(at, stack, 0, 0);
}

void position_parent(struct position *at, const struct li_stack *stack)
{
	const char *slash = strrchr(at->path, '/');

	if (at->depth > 0)
		position_cut(at, stack, slash ? (size_t)(slash - at->path) : 0, at->depth - 1);
}

/* Appends a component to the path alone: the depth follows when it is known to be a directory. */
static int position_append(struct position *at, const char *name)
{
	size_t length = strlen(name);
	size_t need = at->length + length + 2;

	/* No overflow: a walk's bytes are bounded by LI_LINKS_MAX bodies of LI_PATH_MAX. */
	if (need > at->capacity) {
		char *path = realloc(at->path, 2 * need);

		if (!path)
			return -ENOMEM;
		at->path = path;
		at->capacity = 2 * need;
	}
	if (at->length > 0)
		at->path[at->length++] = '/';
	memcpy(at->path + at->length, name, length + 1);
	at->length += length;
	return 0;
}

void entry_done(struct entry *entry)
{
	entry->fd = close_keep_errno(entry->fd);
}

/* Opens *path* in layer *i* and says what type it is. */
static int entry_open(struct li_stack *stack, size_t i, const char *path, struct entry *ret)
{
	struct layer *layer = &stack->layers[i];
	cleanup_with(entry_done) struct entry entry = {.fd = -EBADF, .layer = i};
	int r;

	r = acquire(stack, layer);
	if (r < 0)
		return r == -ENOENT || r == -ENOTDIR ? -ESTALE : r;
	entry.fd = layer_open_path(layer, path, &stack->no_openat2);
	if (entry.fd == -EMFILE || entry.fd == -ENFILE) {
		close_layers(stack);
		r = acquire(stack, layer);
		if (r < 0)
			return r;
		entry.fd = layer_open_path(layer, path, &stack->no_openat2);
	}
	release(stack, layer);
	if (entry.fd < 0)
		return entry.fd;
	if (fstat(entry.fd, &entry.st) < 0)
		return -errno;
	*ret = entry;
	entry.fd = -EBADF;
	return 0;
}

static int entry_class(const struct li_stack *stack, const struct entry *entry, bool last,
		       enum entry_class *ret)
{
	struct entry_facts facts = {
		.mode = entry->st.st_mode,
		.rdev = entry->st.st_rdev,
		.size = entry->st.st_size,
	};
	unsigned wanted = marks_wanted(&facts, last);

	if (wanted) {
		int r = marks_read(entry->fd, wanted, stack->userxattr, S_ISDIR(facts.mode),
				   &facts.marks);
		if (r < 0)
			return r;
	}
	*ret = entry_classify(&facts);
	return 0;
}

/* The last layer that takes part in *at*: there is always one. */
static size_t last_layer(const struct li_stack *stack, const struct position *at)
{
	size_t i = stack->size;

	while (i-- > 0)
		if (at->reach[i] >= at->depth)
			return i;
	return 0;
}

/*
 * Takes layer *i*'s part of the name at->path, in the directory of *depth*, into account.
 * Returns: > 0 when the merge of this name ends here, 0 when it goes on below, or an error.
 */
static int merge_layer(struct li_stack *stack, struct position *at, size_t i, bool last,
		       struct entry *found)
{
	cleanup_with(entry_done) struct entry entry = ENTRY_INIT;
	enum entry_class class = ENTRY_REFUSED;
	int r;

	r = entry_open(stack, i, at->path, &entry);
	if (r == -ENOENT || r == -ENAMETOOLONG)
		return 0;
	if (r < 0)
		return r;
	/* A file below a directory: hidden, whatever it is, and it hides what is below. */
	if (found->fd >= 0 && !S_ISDIR(entry.st.st_mode))
		return 1;
	r = entry_class(stack, &entry, last, &class);
	if (r < 0)
		return r;
	if (class == ENTRY_REFUSED)
		return -EPERM;
	if (class == ENTRY_WHITEOUT)
		return 1;
	if (S_ISDIR(entry.st.st_mode))
		at->reach[i] = at->depth + 1;
	if (found->fd < 0) {
		*found = entry;
		entry.fd = -EBADF;
	}
	return class != ENTRY_DIR;
}

int stack_lookup(struct li_stack *stack, struct position *at, const char *name, struct entry *ret)
{
	cleanup_with(entry_done) struct entry found = ENTRY_INIT;
	size_t length = at->length;
	size_t last = last_layer(stack, at);
	int r;

	r = position_append(at, name);
	for (size_t i = 0; r == 0 && i <= last; i++)
		if (at->reach[i] >= at->depth)
			r = merge_layer(stack, at, i, i == last, &found);
	if (r < 0)
		return r;
	if (found.fd < 0)
		return -ENOENT;
	if (S_ISDIR(found.st.st_mode)) {
		at->depth++;
	} else {
		at->path[length] = '\0';
		at->length = length;
	}
	*ret = found;
	found.fd = -EBADF;
	return 0;
}

int stack_self(struct li_stack *stack, const struct position *at, struct entry *ret)
{
	for (size_t i = 0; i < stack->size; i++)
		if (at->reach[i] >= at->depth)
			return entry_open(stack, i, at->path, ret);
	return -ENOENT;
}

int stack_search(struct li_stack *stack, const struct position *at)
{
	cleanup_with(entry_done) struct entry self = ENTRY_INIT;
	cleanup_close int fd = -EBADF;
	int r = stack_self(stack, at, &self);

	if (r < 0)
		return r;
	/* Even "." takes search permission. */
	fd = openat(self.fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : 0;
}
