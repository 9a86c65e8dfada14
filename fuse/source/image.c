/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/source/image.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/source/acl.h"
#include "layerindex/join.h"
#include "layerindex/store/store.h"

struct stored_image {
	struct li_store *store;
	struct li_store_facts facts;
	char *directory; /* the store's */
	bool quiet;	 /* warn of nothing */
	bool met_mark;	 /* image_met_mark() */
};

static void stored_image_free(struct stored_image *stored)
{
	if (!stored)
		return;
	li_store_close(stored->store);
	li_store_facts_done(&stored->facts);
	free(stored->directory);
	free(stored);
}

void image_close(struct image *image)
{
	li_stack_close(TAKE_PTR(image->stack));
	li_index_close(TAKE_PTR(image->index));
	stored_image_free(TAKE_PTR(image->stored));
	if (image->finder.close)
		image->finder.close(image->finder.context);
	image->finder = (struct image_finder){};
}

void image_file_done(struct image_file *file)
{
	file->fd = close_keep_errno(file->fd);
	free(TAKE_PTR(file->name));
	free(TAKE_PTR(file->origin));
}

/* A store that cannot be used is as one that lacks the image, which is made anew. */
static int fail_store(const struct stored_image *stored, int r, struct view_error *error)
{
	const char *directory = stored->directory;
	const char *reason = strerror(-r);

	if (is_resource_error(r))
		return view_fail(error, MSG_SYSTEM, directory, reason);
	if (r == -EPERM)
		reason = "it, or a directory in it, belongs to another user, or other users have "
			 "access to it";
	if (r == -EINVAL)
		reason = "what it knows of the image is damaged, and is replaced when the image is "
			 "added again";
	if (r == -EPROTO)
		reason = "what it knows of the image is of another version";
	if (!stored->quiet)
		log_warn("artifact store '%s' is not used: %s", directory, reason);
	view_fail(error, MSG_STORE_UNUSABLE, directory, reason);
	return r == -EINVAL || r == -EPROTO ? IMAGE_MISS : -ECANCELED;
}

static void free_stored(struct stored_image **stored)
{
	stored_image_free(*stored);
}
DEFINE_CLEANUP(struct stored_image *, free_stored)

int image_open_stored(const struct li_store_key *key, const char *given, bool quiet,
		      struct image *ret, struct view_error *error)
{
	cleanup_with(free_stored) struct stored_image *stored = calloc(1, sizeof(*stored));
	int r;

	*ret = (struct image){.key = *key};
	if (!stored)
		return view_fail(error, MSG_NO_MEMORY);
	stored->quiet = quiet;
	stored->directory = store_directory_path(given);
	if (!stored->directory)
		/* cppcheck-suppress memleak ; cleanup_with() frees it */
		return view_fail(error, MSG_NO_STORE_DIRECTORY);
	r = li_store_open(stored->directory, false, &stored->store);
	if (r == 0)
		r = li_store_find(stored->store, key, &stored->facts);
	if (r == -ENOENT) {
		view_fail(error, MSG_NOT_STORED, stored->directory, image_in_words(ret).text);
		return IMAGE_MISS;
	}
	if (r < 0)
		return fail_store(stored, r, error);
	ret->stored = TAKE_PTR(stored);
	return 0;
}

const struct li_store_facts *image_stored_facts(const struct image *image)
{
	return &image->stored->facts;
}

static int find_in_layers(struct li_stack *stack, const char *path, struct image_file *ret)
{
	cleanup_with(li_file_done) struct li_file found = LI_FILE_INIT;
	cleanup_close int fd = -EBADF;
	int r = li_resolve(stack, path, 0, &found);

	if (r < 0)
		return r;
	if (S_ISREG(found.st.st_mode)) {
		/* It does not block: a lease on the file is EAGAIN, and is being broken then. */
		fd = li_file_open(&found);
		if (fd < 0)
			return fd;
		if (fstat(fd, &found.st) < 0)
			return -errno;
		r = acl_narrow_file(fd, &found.st.st_mode);
		if (r < 0)
			return r;
	}
	*ret = (struct image_file){.fd = TAKE_FD(fd), .st = found.st, .layer = found.layer};
	ret->name = TAKE_PTR(found.name);
	return 0;
}

static const struct {
	mode_t type;
	int reason;
} types[] = {
	{S_IFDIR, EISDIR}, {S_IFIFO, ESPIPE},  {S_IFSOCK, ENOTSOCK},
	{S_IFCHR, ENOTTY}, {S_IFBLK, ENOTBLK},
};

int image_reason_of_type(mode_t mode)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if ((mode & S_IFMT) == types[i].type)
			return types[i].reason;
	return EBADF;
}

/* Something that is no artifact: its type, or what looking it up failed with. */
static int find_other(int reason, struct image_file *ret)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (reason == types[i].reason) {
			ret->st.st_mode = types[i].type;
			return 0;
		}
	return -reason;
}

/* An object: the store's bytes, and the image's attributes. */
static int open_object(const struct stored_image *stored, const struct li_store_answer *answer,
		       struct image_file *ret)
{
	cleanup_close int fd = li_store_object_open(stored->store, answer);
	char digest[SHA256_DIGITS + 1];
	struct stat st;

	if (fd < 0 && is_resource_error(fd))
		return fd;
	li_digest_print(&answer->digest, digest);
	if (fd < 0 || fstat(fd, &st) < 0) {
		if (!stored->quiet)
			log_warn("artifact store '%s': object %s of '%s' is not used: %s",
				 stored->directory, digest, answer->path,
				 fd == -ENOENT	 ? "it was removed"
				 : fd == -ESTALE ? "it is not the file that was added"
						 : strerror(fd < 0 ? -fd : errno));
		return IMAGE_MISS;
	}
	if (asprintf(&ret->name, "objects/%.2s/%s", digest, digest) < 0)
		return -ENOMEM;
	if (*answer->origin && !(ret->origin = strdup(answer->origin)))
		return -ENOMEM;
	st.st_mode = S_IFREG | answer->mode;
	st.st_uid = answer->uid;
	st.st_gid = answer->gid;
	st.st_mtim = answer->modified;
	ret->st = st;
	ret->digest = (struct digest_wish){true, answer->digest};
	ret->fd = TAKE_FD(fd);
	return 0;
}

static int find_stored(struct stored_image *stored, const char *path, struct image_file *ret)
{
	const struct li_store_answer *answer = li_store_facts_find(&stored->facts, path);

	stored->met_mark = false;
	/* What no answer can be filed for: the path, or a name in it, is too long for a file. */
	if (!store_path_is_sound(path))
		return -ENAMETOOLONG;
	if (!answer)
		return IMAGE_MISS;
	if (answer->kind == LI_STORE_ABSENT)
		return -ENOENT;
	stored->met_mark = answer->kind == LI_STORE_OTHER && answer->reason == IMAGE_MARK;
	if (answer->kind == LI_STORE_OTHER)
		return find_other(answer->reason, ret);
	return open_object(stored, answer, ret);
}

int image_find(const struct image *image, const char *path, struct image_file *ret)
{
	struct retry retry = image->retry;
	int r;

	if (image->finder.find)
		return image->finder.find(image->finder.context, path, ret);
	if (image->stored)
		return find_stored(image->stored, path, ret);
	do
		r = find_in_layers(image->stack, path, ret);
	while (r < 0 && !image_met_mark(image) && retry_wait(&retry, r));
	return r;
}

bool image_met_mark(const struct image *image)
{
	if (image->finder.find)
		return false;
	if (image->stored)
		return image->stored->met_mark;
	return image->stack && li_stack_met_mark(image->stack);
}

int image_fail_miss(const struct image *image, const char *path, struct view_error *error)
{
	view_fail(error, MSG_NOT_STORED_PATH, image->stored->directory, path,
		  image_in_words(image).text);
	return IMAGE_MISS;
}

char *image_origin(const struct image *image, const struct image_file *file)
{
	const char *directory =
		image->stored ? image->stored->directory : li_stack_path(image->stack, file->layer);

	if (file->origin)
		return strdup(file->origin);
	/* The root of a detached mount, or of all. */
	if (strcmp(directory, "/") == 0)
		directory = "";
	return join(directory, "/", file->name);
}

const char *image_key_name(const struct li_store_key *key)
{
	return key->by == LI_STORE_CHAIN ? "chain" : "manifest";
}

struct image_words image_in_words(const struct image *image)
{
	char digest[DIGEST_TEXT_SIZE];
	struct image_words words;

	digest_print(&image->key.id, digest);
	if (image->layers > 0)
		snprintf(words.text, sizeof(words.text), "any of %zu layers", image->layers);
	else
		snprintf(words.text, sizeof(words.text), "image %s", digest);
	return words;
}

bool image_is_stacked(const struct image *image)
{
	struct statfs fs;

	if (!image->stored)
		return li_stack_is_stacked(image->stack);
	return fstatfs(li_store_fd(image->stored->store), &fs) == 0 &&
	       (fs.f_type == OVERLAYFS_SUPER_MAGIC || fs.f_type == FUSE_SUPER_MAGIC);
}

bool image_can_wait(const struct image *image)
{
	return !image->stored && li_stack_is_held(image->stack);
}

char *store_directory_path(const char *given)
{
	const char *parent = geteuid() == 0 ? "/var/cache" : getenv("XDG_CACHE_HOME");
	const char *below = "";
	char *path;

	if (given)
		return strdup(given);
	if (!parent || *parent != '/') {
		parent = getenv("HOME");
		below = "/.cache";
	}
	if (!parent || *parent != '/' || asprintf(&path, "%s%s/urunc-viewfs", parent, below) < 0)
		return NULL;
	return path;
}

int store_check_failure(const struct li_store *store, const struct li_digest *manifest,
			struct view_error *error)
{
	struct li_store_failure failure;

	if (li_store_failure_find(store, manifest, &failure) < 0 ||
	    (failure.code != CODE_ELAYER && failure.code != CODE_ENOTAPPLICABLE))
		return 0;
	return view_fail(error, MSG_FAILED_BEFORE((enum view_code)failure.code), failure.text,
			 LI_STORE_FAILURE_SECONDS / 60);
}
