/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alive is a view that a process serves. Of one whose process cannot be seen, as in another pid
 * namespace, only the kernel knows: its answer to statfs(2) tells, but may never come. So processes
 * of their own ask, all at once.
 */
#include "fuse/live/views.h"

#include <errno.h>
#include <string.h>

#include "fuse/base/array.h"
#include "fuse/base/clock.h"
#include "fuse/mount/mountpoint.h"
#include "fuse/process/run-with-timeout.h"

enum { ANSWER_SECONDS = 2 };

void views_done(struct views *views)
{
	free(views->items);
	mnt_unref_table(views->table);
	view_processes_done(&views->processes);
	*views = (struct views){};
}

static int views_add(struct views *views, const struct mount_entry *entry)
{
	struct view_mount *items =
		array_grow(views->items, views->count, &views->capacity, sizeof(*items));

	if (!items)
		return -ENOMEM;
	views->items = items;
	views->items[views->count++] = (struct view_mount){.entry = *entry};
	return 0;
}

static int read_mounts(struct views *views)
{
	cleanup_with(mount_iter_done) struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
	struct mount_entry entry;
	int r = iter ? mount_table_read(NULL, &views->table) : -ENOMEM;

	while (r == 0 && mount_table_next(views->table, iter, &entry))
		if (strcmp(entry.type, VIEW_TYPE) == 0)
			r = views_add(views, &entry);
	return r;
}

/* The process of a device, rather one that says what it serves; NULL: there is none. */
static const struct view_process *find_process(const struct view_processes *processes, dev_t device)
{
	const struct view_process *found = NULL;

	for (size_t i = 0; i < processes->count; i++)
		if (processes->items[i].device == device && (!found || processes->items[i].titled))
			found = &processes->items[i];
	return found;
}

int view_mount_open(const struct view_mount *mount)
{
	cleanup_close int fd = mountpoint_open(mount->entry.mountpoint);
	cleanup_free char *line = NULL;
	struct mount_entry entry;
	int r;

	if (fd < 0)
		return fd;
	r = mountinfo_find(fd, &entry, &line);
	if (r < 0)
		return r;
	if (r == 0 || entry.id != mount->entry.id || entry.device != mount->entry.device)
		return -ESTALE;
	return TAKE_FD(fd);
}

/* Returns, as an exit status: enum mount_state. */
static int mount_ask_state(void *argument)
{
	cleanup_close int fd = view_mount_open(argument);

	if (fd < 0)
		return MOUNT_UNKNOWN;
	return mountpoint_is_dead(fd) ? MOUNT_DEAD : MOUNT_ALIVE;
}

/* Finds out the state of the mounts that no visible process serves. */
static int ask_all(struct views *views)
{
	uint64_t deadline_us = now_us() + ANSWER_SECONDS * UINT64_C(1000000);
	cleanup_free pid_t *asking = calloc(views->count + 1, sizeof(*asking));

	if (!asking)
		return -ENOMEM;
	for (size_t i = 0; i < views->count; i++)
		if (!views->items[i].process)
			asking[i] = run_with_timeout_start(mount_ask_state, &views->items[i]);
	for (size_t i = 0; i < views->count; i++) {
		int state =
			asking[i] > 0 ? run_with_timeout_finish(asking[i], deadline_us) : -ECHILD;

		if (!views->items[i].process)
			views->items[i].state = state < 0 ? MOUNT_UNKNOWN : (enum mount_state)state;
	}
	return 0;
}

int views_read(struct views *ret)
{
	cleanup_with(views_done) struct views views = {};
	int r = view_processes_find(0, &views.processes);

	/* In this order a view that goes meanwhile is not there, and one that comes is asked. */
	if (r == 0)
		r = read_mounts(&views);
	if (r < 0)
		return r;
	for (size_t i = 0; i < views.count; i++) {
		struct view_mount *mount = &views.items[i];

		mount->process = find_process(&views.processes, mount->entry.device);
		if (mount->process)
			mount->state = mount->process->stopped ? MOUNT_STOPPED : MOUNT_ALIVE;
	}
	r = ask_all(&views);
	if (r < 0)
		return r;
	*ret = TAKE(views, (struct views){});
	return 0;
}

const char *mount_state_name(enum mount_state state)
{
	static const char *const names[] = {
		[MOUNT_ALIVE] = "alive",
		[MOUNT_STOPPED] = "stopped",
		[MOUNT_DEAD] = "dead",
		[MOUNT_UNKNOWN] = "unknown",
	};

	return names[state];
}
