/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fuse/ctl/doctor-findings.h"
#include "fuse/ctl/store.h"
#include "fuse/process/run-with-timeout.h"
#include "fuse/source/image.h"
#include "layerindex/descriptor.h"

enum {
	ANSWER_SECONDS = 5,
	FREE_PART = 10, /* one part of so many stays free: urunc-viewfs-store(5) */
	BLOCK = 4096,
};

/* What the store's filesystem can do, as a trial's exit status. */
enum {
	HAS_REFLINK = 1 << 0,
	HAS_VERITY = 1 << 1,
	IS_READ_ONLY = 1 << 2,
};

static int open_unnamed(int directory)
{
	static const char block[BLOCK];
	int fd = openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 && write(fd, block, sizeof(block)) != sizeof(block)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* fs-verity requires that no descriptor can write. */
static bool try_verity(int fd)
{
	struct fsverity_enable_arg argument = {
		.version = 1,
		.hash_algorithm = FS_VERITY_HASH_ALG_SHA256,
		.block_size = BLOCK,
	};
	cleanup_close int again = -EBADF;
	char path[DESCRIPTOR_PATH];

	descriptor_path(fd, path);
	again = open(path, O_RDONLY | O_CLOEXEC);
	close(fd);
	return again >= 0 && ioctl(again, FS_IOC_ENABLE_VERITY, &argument) == 0;
}

/* On files without a name, which leave nothing. */
static int try_abilities(void *argument)
{
	cleanup_close int directory = open(argument, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_close int one = open_unnamed(directory);
	int other = one < 0 && errno == EROFS ? -1 : open_unnamed(directory);
	int abilities = one < 0 && errno == EROFS ? IS_READ_ONLY : 0;

	if (one >= 0 && other >= 0 && ioctl(other, FICLONE, one) == 0)
		abilities |= HAS_REFLINK;
	if (other >= 0 && try_verity(other))
		abilities |= HAS_VERITY;
	return abilities;
}

struct sum {
	size_t images, faults;
	uint64_t bytes;
};

static void sum_entry(const struct li_store_entry *entry, void *context)
{
	struct sum *sum = context;

	sum->images += !entry->is_object;
	sum->faults += entry->state == LI_STORE_DAMAGED;
	sum->bytes += entry->bytes;
}

static void check_room(struct findings *findings, const char *directory, int fd)
{
	struct statvfs fs;

	if (fstatvfs(fd, &fs) < 0)
		return;
	if (fs.f_bavail < fs.f_blocks / FREE_PART)
		findings_add(findings, SEVERITY_WARNING, "store",
			     "make room, or move the store by -o store=DIR",
			     "less than a tenth of the filesystem of %s is free: no image is added",
			     directory);
}

static void check_stacking(struct findings *findings, const char *directory, int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return;
	if (fs.f_type == OVERLAYFS_SUPER_MAGIC || fs.f_type == FUSE_SUPER_MAGIC)
		findings_add(findings, SEVERITY_NOTE, "store",
			     "put the store on the filesystem of a disk",
			     "%s lies on %s: views of it may go without passthrough", directory,
			     fs.f_type == FUSE_SUPER_MAGIC ? "FUSE" : "an overlay");
}

static void check_content(struct findings *findings, char *directory, const struct li_store *store)
{
	int abilities = run_with_timeout(try_abilities, directory, ANSWER_SECONDS);
	struct sum sum = {};

	if (li_store_each(store, sum_entry, &sum) < 0)
		return;
	if (sum.faults > 0)
		findings_add(findings, SEVERITY_NOTE, "store", "viewfsctl store verify --repair",
			     "%zu damaged %s in %s", sum.faults, sum.faults == 1 ? "file" : "files",
			     directory);
	if (abilities < 0)
		abilities = 0;
	findings_add(findings, SEVERITY_OK, "store", NULL,
		     "%s: %zu %s, %" PRIu64 " MB; %s; reflink: %s; fs-verity: %s", directory,
		     sum.images, sum.images == 1 ? "image" : "images", sum.bytes >> 20,
		     abilities & IS_READ_ONLY ? "read-only" : "writable",
		     abilities & HAS_REFLINK ? "yes" : "no", abilities & HAS_VERITY ? "yes" : "no");
}

static int look_there(void *argument)
{
	return access(argument, F_OK) < 0 && errno != EACCES;
}

void check_store(struct findings *findings)
{
	static const struct options defaults = OPTIONS_INIT;
	cleanup_with(li_store_done) struct li_store *store = NULL;
	cleanup_free char *directory = store_directory_path(NULL);
	cleanup_free char *opened = NULL;
	VIEW_ERROR(error);
	int r;

	if (!directory)
		return;
	r = run_with_timeout(look_there, directory, ANSWER_SECONDS);
	if (r == -ETIMEDOUT) {
		findings_add(findings, SEVERITY_WARNING, "store",
			     "look after the filesystem it lies on", "%s does not answer",
			     directory);
		return;
	}
	if (store_open_named(&defaults, &opened, &store, &error) < 0) {
		findings_add(findings, SEVERITY_WARNING, "store",
			     "remove it: it is a cache, and is made again", "%s", error.message);
		return;
	}
	if (!store) {
		findings_add(findings, SEVERITY_OK, "store", NULL,
			     "%s: no image was added yet (viewfsctl store add)", directory);
		return;
	}
	check_room(findings, directory, li_store_fd(store));
	check_stacking(findings, directory, li_store_fd(store));
	check_content(findings, directory, store);
}
