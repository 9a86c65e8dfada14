/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record-disk IMAGE LOG DIRECTORY
 *
 * Shows IMAGE as the file DIRECTORY/disk, and records in LOG what is written to it: for each write
 * its offset and length, as 64-bit numbers, and its bytes; for each flush that was completed an
 * offset and a length of all ones. A loop device on that file is a disk whose power can be cut
 * afterwards, at any moment and in many ways: writes that no flush followed may be lost.
 *
 * Stays in the foreground until DIRECTORY is unmounted.
 */
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char disk_path[] = "/disk";
static int image = -1, record = -1;

struct entry {
	uint64_t offset, length;
};

static const struct entry flushed = {UINT64_MAX, UINT64_MAX};

static int disk_getattr(const char *path, struct stat *st, struct fuse_file_info *file)
{
	(void)file;
	if (fstat(image, st) < 0)
		return -errno;
	if (strcmp(path, "/") == 0) {
		st->st_mode = S_IFDIR | 0700;
		st->st_nlink = 2;
		return 0;
	}
	return strcmp(path, disk_path) == 0 ? 0 : -ENOENT;
}

static int disk_open(const char *path, struct fuse_file_info *file)
{
	(void)file;
	return strcmp(path, disk_path) == 0 ? 0 : -ENOENT;
}

static int disk_read(const char *path, char *buffer, size_t size, off_t offset,
		     struct fuse_file_info *file)
{
	ssize_t n = pread(image, buffer, size, offset);

	(void)path;
	(void)file;
	return n < 0 ? -errno : (int)n;
}

static int append(const void *bytes, size_t size)
{
	return write(record, bytes, size) == (ssize_t)size ? 0 : -EIO;
}

static int disk_write(const char *path, const char *bytes, size_t size, off_t offset,
		      struct fuse_file_info *file)
{
	const struct entry entry = {(uint64_t)offset, size};

	(void)path;
	(void)file;
	if (append(&entry, sizeof(entry)) < 0 || append(bytes, size) < 0)
		return -EIO;
	return pwrite(image, bytes, size, offset) == (ssize_t)size ? (int)size : -EIO;
}

static int disk_fsync(const char *path, int data_only, struct fuse_file_info *file)
{
	(void)path;
	(void)data_only;
	(void)file;
	return append(&flushed, sizeof(flushed));
}

static const struct fuse_operations operations = {
	.getattr = disk_getattr,
	.open = disk_open,
	.read = disk_read,
	.write = disk_write,
	.fsync = disk_fsync,
};

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: record-disk IMAGE LOG DIRECTORY\n");
		return 1;
	}
	image = open(argv[1], O_RDWR | O_CLOEXEC);
	record = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (image < 0 || record < 0) {
		perror("record-disk");
		return 1;
	}
	/* One thread: the log has the order in which writes were completed. */
	argv[1] = (char[]){"-f"};
	argv[2] = (char[]){"-s"};
	return fuse_main(argc, argv, &operations, NULL);
}
