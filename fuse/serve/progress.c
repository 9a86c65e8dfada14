/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/serve/progress.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <sys/mman.h>

#include "fuse/mount/fusectl.h"
#include "fuse/mount/mountpoint.h"
#include "layerindex/cleanup.h"

/* Among initialized data, in a page that every view has of its own anyway. */
static struct progress common __attribute__((section(".data")));

enum { SHARED_SIZE = sizeof(struct progress) + PATH_MAX };

struct progress *progress_new(bool in_one_memory)
{
	void *memory;

	if (in_one_memory)
		return &common;
	memory = mmap(NULL, SHARED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

void progress_release(struct progress *progress)
{
	if (progress != &common)
		munmap(progress, SHARED_SIZE);
}

void progress_undo(const struct progress *progress, const char *path, bool alone)
{
	cleanup_close int fd = -EBADF;

	if (progress->mount.id == 0) {
		if (progress->mounting)
			mountpoint_detach_if_dead(path);
		return;
	}
	fd = alone ? mount_open(&progress->mount, path) : mount_open_at(&progress->mount, path);
	if (fd >= 0)
		mountpoint_detach_fd(fd);
}

int progress_end_view(const struct progress *progress)
{
	cleanup_close int fd = mount_open(&progress->mount, progress->mountpoint);

	if (fd < 0)
		return fd;
	mountpoint_detach_fd(fd);
	/* Another namespace may have a copy. As long as it is open this device is no other's. */
	return fusectl_abort(fd);
}
