/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's directories, and reading. A hit opens two directories once, and per image one file of
 * facts and its objects: no lock, no hash.
 */
#include "layerindex/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "layerindex/store/store-dir.h"

enum { USED_SECONDS = 3600 }; /* how exactly the time of the last use is known */

static const char *const list_names[] = {
	[LI_STORE_CHAIN] = "chains",
	[LI_STORE_MANIFEST] = "images",
};

const struct timespec store_object_time = {};

bool store_is_ours(const struct stat *st, mode_t type, mode_t mode)
{
	return (st->st_mode & S_IFMT) == type && st->st_uid == geteuid() &&
	       !(st->st_mode & 07777 & ~mode);
}

int store_directory(int at, const char *name, bool make)
{
	cleanup_close int fd = -EBADF;
	struct stat st;

	/* Where it cannot be made it may still be there: the open says. */
	if (make && mkdirat(at, name, 0700) < 0 && errno != EEXIST && errno != EROFS)
		return -errno;
	fd = openat(at, name,
		    O_RDONLY | O_DIRECTORY | O_CLOEXEC | (at == AT_FDCWD ? 0 : O_NOFOLLOW));
	if (fd < 0)
		return at != AT_FDCWD && errno == ENOTDIR ? -EPERM : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	return store_is_ours(&st, S_IFDIR, 0700) ? TAKE_FD(fd) : -EPERM;
}

/* A directory in the store; without *make* it may be missing, and is then as one that is empty. */
static int open_part(const struct li_store *store, const char *name, bool make, int *ret)
{
	int fd = store_directory(store->fd, name, make);

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	*ret = fd;
	return 0;
}

int li_store_open(const char *path, bool make, struct li_store **ret)
{
	struct li_store *store = malloc(sizeof(*store));
	int r;

	if (!store)
		return -ENOMEM;
	*store = (struct li_store){.fd = -EBADF, .lists = {-EBADF, -EBADF}, .objects = -EBADF};
	store->fd = store_directory(AT_FDCWD, path, make);
	r = store->fd < 0 ? store->fd : open_part(store, "objects", make, &store->objects);
	for (size_t i = 0; i < 2 && r == 0; i++)
		r = open_part(store, list_names[i], make, &store->lists[i]);
	if (r < 0) {
		li_store_close(store);
		return r;
	}
	*ret = store;
	return 0;
}

void li_store_close(struct li_store *store)
{
	if (!store)
		return;
	close_keep_errno(store->objects);
	for (size_t i = 0; i < 2; i++)
		close_keep_errno(store->lists[i]);
	close_keep_errno(store->fd);
	free(store);
}

int li_store_fd(const struct li_store *store)
{
	return store->fd;
}

void store_object_name(const struct li_digest *digest, char ret[static OBJECT_NAME + 1])
{
	li_digest_print(digest, ret + 3);
	ret[0] = ret[3];
	ret[1] = ret[4];
	ret[2] = '/';
}

bool store_name_is_digest(const char *name)
{
	struct li_digest ignored;

	return li_digest_parse(name, &ignored) == 0;
}

/* Opens what may be under a lease for a moment: store_is_in_use() of another process. */
static int open_leased(int at, const char *name)
{
	int fd = openat(at, name, STORE_READ);
	struct stat st;

	if (fd >= 0 || errno != EAGAIN)
		return fd < 0 ? -errno : fd;
	/* Without O_NONBLOCK the kernel waits for the lease; only a regular file can have one. */
	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	fd = openat(at, name, STORE_READ & ~O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int store_file_open(int at, const char *name, struct stat *st)
{
	cleanup_close int fd = at < 0 ? -ENOENT : open_leased(at, name);

	if (fd < 0)
		return fd == -ELOOP ? -ESTALE : fd;
	if (fstat(fd, st) < 0)
		return -errno;
	return store_is_ours(st, S_IFREG, FACTS_MODE) ? TAKE_FD(fd) : -ESTALE;
}

int store_object_file(const struct li_store *store, const struct li_digest *digest, struct stat *st)
{
	cleanup_close int directory = -EBADF;
	char name[OBJECT_NAME + 1];

	if (store->objects < 0)
		return -ENOENT;
	store_object_name(digest, name);
	name[2] = '\0';
	directory = store_directory(store->objects, name, false);
	if (directory < 0)
		return directory;
	return store_file_open(directory, name + 3, st);
}

int store_facts_read(int list, const char *name, struct li_store_facts *ret, struct stat *st)
{
	cleanup_close int fd = store_file_open(list, name, st);
	cleanup_free void *bytes = NULL;
	ssize_t n;

	if (fd < 0)
		return fd == -ESTALE ? -EINVAL : fd;
	if (st->st_size > STORE_FACTS_FILE_MAX)
		return -EINVAL;
	bytes = malloc((size_t)st->st_size + 1);
	if (!bytes)
		return -ENOMEM;
	n = read(fd, bytes, (size_t)st->st_size);
	return n < 0 ? -errno : store_facts_decode(bytes, (size_t)n, ret);
}

/* The age of facts is the time of their last modification; one in the future is set anew. */
void store_note_use(int list, const char *name, const struct stat *st)
{
	time_t now = time(NULL);

	if (st->st_mtim.tv_sec < now - USED_SECONDS || st->st_mtim.tv_sec > now + USED_SECONDS)
		utimensat(list, name, NULL, AT_SYMLINK_NOFOLLOW);
}

int li_store_find(const struct li_store *store, const struct li_store_key *key,
		  struct li_store_facts *ret)
{
	cleanup_with(li_store_facts_done) struct li_store_facts facts = {};
	char name[SHA256_DIGITS + 1];
	int list = store->lists[key->by];
	struct stat st = {};
	int r;

	li_digest_print(&key->id, name);
	r = store_facts_read(list, name, &facts, &st);
	if (r < 0)
		return r;
	if (facts.key.by != key->by || !li_digest_equal(&facts.key.id, &key->id))
		return -EINVAL;
	store_note_use(list, name, &st);
	*ret = TAKE(facts, (struct li_store_facts){});
	return 0;
}

static bool is_stamped(const struct stat *st, const struct li_store_stamp *stamp)
{
	return st->st_ino == stamp->inode && st->st_mtim.tv_sec == stamp->modified.tv_sec &&
	       st->st_mtim.tv_nsec == stamp->modified.tv_nsec;
}

int li_store_object_open(const struct li_store *store, const struct li_store_answer *answer)
{
	cleanup_close int fd = -EBADF;
	struct stat st = {};

	if (answer->kind != LI_STORE_ARTIFACT)
		return -EINVAL;
	fd = store_object_file(store, &answer->digest, &st);
	if (fd < 0)
		return fd;
	if (!store_is_ours(&st, S_IFREG, OBJECT_MODE) || (uint64_t)st.st_size != answer->size ||
	    !is_stamped(&st, &answer->object))
		return -ESTALE;
	return TAKE_FD(fd);
}

static int has_object(const struct li_store *store, const struct li_store_answer *answer)
{
	cleanup_close int fd = li_store_object_open(store, answer);

	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ESTALE)
		return 0;
	return fd < 0 ? fd : 1;
}

int store_has_objects(const struct li_store *store, const struct li_store_facts *facts)
{
	int r = 1;

	for (size_t i = 0; i < facts->count && r > 0; i++)
		if (facts->answers[i].kind == LI_STORE_ARTIFACT)
			r = has_object(store, &facts->answers[i]);
	return r;
}
