/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New files: they are complete before they have a name, so that a reader sees all of a file or
 * none, and a writer that dies leaves nothing. Where a filesystem does not know O_TMPFILE they have
 * a temporary name until then, which li_store_evict() removes if the writer dies.
 *
 * An object is on the disk (fdatasync) before it has its name: linking orders nothing, and a power
 * cut could else leave a name with a part of the bytes, or holes, of the right size. It costs about
 * as much as the copy, once for each artifact and host. The alternative, to hash each object again
 * in each boot before it is believed, costs every first view of a boot what hashing the artifact
 * does, and links SHA-256 into the process that runs per container. Facts need no sync: they have a
 * checksum, and facts whose object is missing are a miss.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layerindex/descriptor.h"
#include "layerindex/file/new-file.h"
#include "layerindex/file/whole.h"
#include "layerindex/store/store-dir.h"

enum {
	BUFFER_SIZE = 256 << 10,
	COPY_SIZE = 16 << 20, /* in one system call: what is told of is not too rare */
};

int store_new_open(const struct li_store *store, int at, struct store_new *ret)
{
	struct store_new file = {.fd = -EBADF, .at = at};
	int r;

	if (!store->no_tmpfile)
		file.fd = openat(at, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	/* EISDIR: before Linux 3.11 this was an attempt to write in a directory. */
	if (file.fd < 0 && !store->no_tmpfile && errno != EOPNOTSUPP && errno != EISDIR)
		return -errno;
	if (file.fd < 0) {
		r = new_file_name(file.name);
		if (r < 0)
			return r;
		file.fd = openat(at, file.name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
		if (file.fd < 0)
			return -errno;
	}
	*ret = file;
	return 0;
}

void store_new_done(struct store_new *file)
{
	if (file->fd >= 0 && *file->name)
		unlinkat(file->at, file->name, 0);
	close_keep_errno(file->fd);
	*file = STORE_NEW_INIT;
}

static bool is_resource_error(int error)
{
	return error == ENOSPC || error == EDQUOT || error == EIO || error == EFBIG ||
	       error == EROFS;
}

static void measure(struct store_meter *meter, uint64_t n)
{
	meter->done += n;
	if (meter->progress)
		meter->progress->tell(meter->done, meter->progress->context);
}

/* The rest of the file, from where the descriptors are. Returns: 0; -ESTALE: it is shorter. */
static int copy_by_hand(int from, int to, uint64_t at, uint64_t size, struct store_meter *meter)
{
	cleanup_free char *buffer = malloc(BUFFER_SIZE);

	if (!buffer)
		return -ENOMEM;
	while (at < size) {
		size_t most = size - at < BUFFER_SIZE ? (size_t)(size - at) : BUFFER_SIZE;
		ssize_t n = pread(from, buffer, most, (off_t)at);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ESTALE;
		r = write_whole(to, buffer, (size_t)n);
		if (r < 0)
			return r;
		at += (uint64_t)n;
		measure(meter, (uint64_t)n);
	}
	return 0;
}

/* Lets the filesystem share the blocks, or the kernel copy, or copies. */
static int copy_bytes(int from, int to, uint64_t size, struct store_meter *meter)
{
	loff_t at = 0;

	if (ioctl(to, FICLONE, from) == 0) {
		measure(meter, size);
		return 0;
	}
	/* All of it at once: faster, and what there is no room for fails here. */
	if (size > 0 && fallocate(to, 0, 0, (off_t)size) < 0 && is_resource_error(errno))
		return -errno;
	while ((uint64_t)at < size) {
		uint64_t left = size - (uint64_t)at;
		size_t most = left < COPY_SIZE ? (size_t)left : COPY_SIZE;
		ssize_t n = copy_file_range(from, &at, to, NULL, most, 0);

		if (n < 0 && is_resource_error(errno))
			return -errno;
		/* Some filesystems say 0 where they cannot. */
		if (n <= 0)
			break;
		measure(meter, (uint64_t)n);
	}
	return copy_by_hand(from, to, (uint64_t)at, size, meter);
}

int store_hash(int fd, struct li_digest *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return li_digest_file(fd, (uint64_t)st.st_size, ret);
}

/*
 * Reopens the file for reading only, which verity needs: no writer may be left. The caller must
 * have permission to write to it, and may lack the capability to do without. Where the filesystem
 * has verity, a read of what the disk damaged fails from then on.
 */
static int seal(struct store_new *file)
{
	struct fsverity_enable_arg argument = {
		.version = 1,
		.hash_algorithm = FS_VERITY_HASH_ALG_SHA256,
		.block_size = 4096,
	};
	char path[DESCRIPTOR_PATH];
	int fd;

	descriptor_path(file->fd, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	close(file->fd);
	file->fd = fd;
	ioctl(fd, FS_IOC_ENABLE_VERITY, &argument);
	return 0;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Copies the file *from*, which *before* describes. */
static int copy_file(const struct li_store *store, int from, const struct stat *before,
		     struct store_meter *meter, struct store_new *ret)
{
	struct stat after;
	int r = store_new_open(store, store->objects, ret);

	if (r == 0)
		r = copy_bytes(from, ret->fd, (uint64_t)before->st_size, meter);
	if (r < 0)
		return r;
	if (fstat(from, &after) < 0)
		return -errno;
	return is_same_file(before, &after) ? 0 : -ESTALE;
}

/* Takes the file itself. */
static int take_file(const struct li_store *store, int from, uint64_t size,
		     struct store_meter *meter, struct store_new *ret)
{
	*ret = (struct store_new){.fd = fcntl(from, F_DUPFD_CLOEXEC, 0), .at = store->objects};
	measure(meter, size);
	return ret->fd < 0 ? -errno : 0;
}

int store_copy_make(const struct li_store *store, const struct li_store_addition *addition,
		    struct store_meter *meter, struct store_copy *ret)
{
	cleanup_with(store_new_done) struct store_new file = STORE_NEW_INIT;
	const struct timespec times[] = {store_object_time, store_object_time};
	struct li_digest digest;
	struct stat st;
	uint64_t size;
	int r;

	if (fstat(addition->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	size = (uint64_t)st.st_size;
	r = addition->is_given ? take_file(store, addition->fd, size, meter, &file)
			       : copy_file(store, addition->fd, &st, meter, &file);
	if (r == 0 && addition->is_given && addition->digest)
		digest = *addition->digest;
	else if (r == 0)
		r = li_digest_file(file.fd, size, &digest);
	if (r < 0)
		return r;
	measure(meter, size);
	if (futimens(file.fd, times) < 0 || fdatasync(file.fd) < 0)
		return -errno;
	r = seal(&file);
	if (r < 0)
		return r;
	if (fchmod(file.fd, OBJECT_MODE) < 0)
		return -errno;
	*ret = (struct store_copy){
		.file = TAKE(file, STORE_NEW_INIT),
		.digest = digest,
		.size = size,
	};
	return 0;
}

static bool has_size_and_time(const struct stat *st, uint64_t size)
{
	return (uint64_t)st->st_size == size && st->st_mtim.tv_sec == store_object_time.tv_sec &&
	       st->st_mtim.tv_nsec == store_object_time.tv_nsec;
}

/*
 * Whether an object that is there is what its name says. It is hashed: facts that named it may have
 * said that it is another file than the one that was filed.
 */
static bool is_believed(const struct li_store *store, const struct store_copy *copy,
			struct stat *st)
{
	cleanup_close int fd = store_object_file(store, &copy->digest, st);
	struct li_digest digest;

	return fd >= 0 && store_is_ours(st, S_IFREG, OBJECT_MODE) &&
	       has_size_and_time(st, copy->size) && store_hash(fd, &digest) == 0 &&
	       li_digest_equal(&digest, &copy->digest);
}

int store_copy_publish(const struct li_store *store, const struct store_copy *copy,
		       struct li_store_stamp *ret)
{
	cleanup_close int directory = -EBADF;
	char name[OBJECT_NAME + 1];
	struct stat st = {};
	int r;

	store_object_name(&copy->digest, name);
	name[2] = '\0';
	directory = store_directory(store->objects, name, true);
	if (directory < 0)
		return directory;
	r = new_file_link(copy->file.fd, directory, name + 3, false);
	if (r == -EEXIST && !is_believed(store, copy, &st))
		r = new_file_link(copy->file.fd, directory, name + 3, true);
	else if (r == -EEXIST)
		r = 1;
	if (r < 0)
		return r;
	if (r == 0 && fstat(copy->file.fd, &st) < 0)
		return -errno;
	*ret = (struct li_store_stamp){.inode = st.st_ino, .modified = st.st_mtim};
	return 0;
}
