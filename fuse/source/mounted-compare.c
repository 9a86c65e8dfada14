/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/source/mounted-compare.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fuse/base/messages.h"
#include "fuse/source/file-identity.h"
#include "layerindex/cleanup.h"

/* A regular file, or none. */
struct file {
	int fd;		/* owned, unless it is the caller's */
	struct stat st; /* st_mode is 0 where there is none */
};

static void file_done(struct file *file)
{
	file->fd = close_keep_errno(file->fd);
}
DEFINE_CLEANUP(struct file, file_done)

/* Returns: 0 with *ret*, or -errno. */
static int stat_regular(int fd, struct stat *ret)
{
	*ret = (struct stat){};
	if (fd < 0)
		return 0;
	if (fstat(fd, ret) < 0)
		return -errno;
	if (!S_ISREG(ret->st_mode))
		*ret = (struct stat){};
	return 0;
}

/*
 * What the overlay shows, links followed as in a container whose root it is.
 * Returns: 0 or -errno.
 */
static int look(int root, const char *path, struct file *ret)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};

	/* EAGAIN: a rename or mount elsewhere on the host raced with the walk. */
	do
		ret->fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	while (ret->fd < 0 && (errno == EAGAIN || errno == EINTR));
	if (ret->fd < 0 && errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
		return -errno;
	return stat_regular(ret->fd, &ret->st);
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/*
 * Whether a layer's file is the one that is shown; both may be absent. overlayfs never shows a
 * layer's device number, and with xino= the inode number has other high bits. It shows a file of
 * the upper directory with the identity that the file had below.
 */
static bool is_same_file(const struct file *found, const struct file *shown, bool in_upper)
{
	const struct stat *a = &found->st, *b = &shown->st;

	if (a->st_mode != b->st_mode)
		return false;
	if (a->st_mode == 0)
		return true;
	if (a->st_size != b->st_size || !is_same_time(&a->st_mtim, &b->st_mtim) ||
	    !is_same_time(&a->st_ctim, &b->st_ctim))
		return false;
	return in_upper || ((uint32_t)a->st_ino == (uint32_t)b->st_ino &&
			    file_may_be_shown(shown->fd, found->fd));
}

static void close_stack(struct li_stack **stack)
{
	li_stack_close(*stack);
}
DEFINE_CLEANUP(struct li_stack *, close_stack)

/* Opens the upper directory of the overlay above its layers. Returns: 0 or -errno. */
static int open_with_upper(const struct source *source, struct li_stack **ret)
{
	size_t n = source->layers.count;
	cleanup_free char **paths = calloc(n + 1, sizeof(*paths));
	unsigned flags = LI_STACK_NO_MAGICLINKS | (source->userxattr ? LI_STACK_USERXATTR : 0);
	size_t bad;

	if (!paths)
		return -ENOMEM;
	paths[0] = source->upper;
	memcpy(paths + 1, source->layers.items, n * sizeof(*paths));
	return li_stack_open(paths, n + 1, flags, NULL, ret, &bad);
}

/*
 * Whether the overlay shows what it shows because of its upper directory: whether the layers with
 * that directory on top have at *path* what is shown. Returns: 1, 0, or -errno of the machine's.
 */
static int is_by_upper(const struct source *source, const char *path, const struct file *shown)
{
	cleanup_with(close_stack) struct li_stack *stack = NULL;
	cleanup_with(li_file_done) struct li_file file = LI_FILE_INIT;
	int r;

	if (!source->upper)
		return 0;
	r = open_with_upper(source, &stack);
	if (r < 0)
		return is_resource_error(r) ? r : 0;
	r = li_resolve(stack, path, 0, &file);
	if (is_resource_error(r))
		return r;
	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP || (r == 0 && !S_ISREG(file.st.st_mode)))
		return shown->st.st_mode == 0;
	return r == 0 &&
	       is_same_file(&(struct file){.fd = file.fd, .st = file.st}, shown, file.layer == 0);
}

int mounted_compare(const struct source *source, const char *path, int found,
		    struct view_error *error)
{
	cleanup_with(file_done) struct file shown = {.fd = -EBADF};
	struct file given = {.fd = found};
	int r;

	if (source->overlay.root < 0)
		return 0;
	r = stat_regular(found, &given.st);
	if (r == 0)
		r = look(source->overlay.root, path, &shown);
	if (r == 0 && is_same_file(&given, &shown, false))
		return 0;
	if (r == 0)
		r = is_by_upper(source, path, &shown);
	if (r > 0)
		return 0;
	if (is_resource_error(r))
		return view_fail(error, MSG_SYSTEM, path, strerror(-r));
	if (r < 0)
		return view_fail(error, MSG_NOT_COMPARED, source->origin_label, path, strerror(-r));
	return view_fail(error, MSG_NOT_SHOWN, source->origin_label, path);
}
