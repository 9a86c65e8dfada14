/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In rounds, for views may be stacked: all places are opened; the mount table says what they are;
 * those that are views are unmounted; the table, read again, says which of them are still mounted
 * somewhere; the others are ended. A place where a view was is looked at in the next round.
 *
 * The table is read twice in a round, whatever the number of places.
 */
#include "fuse/live/end-batch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fuse/base/clock.h"
#include "fuse/base/messages.h"
#include "fuse/live/ask.h"
#include "fuse/live/end-process.h"
#include "fuse/live/view-answer.h"
#include "fuse/live/view-process.h"
#include "fuse/mount/fusectl.h"
#include "fuse/mount/mountinfo.h"
#include "fuse/mount/mountpoint.h"

enum {
	BATCH = 256,	   /* places that are open at once */
	ROUNDS_MAX = 1000, /* views at one place */
	GONE_ROUNDS = 8,   /* in which what is there goes away, or is in no table */
	ANSWER_MS = 500,   /* for a view that is asked: less than the parent waits for a word */
	GRACE_MS = 200,	   /* before a process is told to end */
};

/* A place that is open. */
struct place {
	size_t item;
	int fd;		   /* O_PATH; -EBADF: there is nothing more to do */
	uint64_t mount_id; /* of what is there */
	dev_t device;
	bool is_root;	/* of a mount */
	bool found;	/* it is a view, by the mount table */
	bool gone;	/* it was unmounted between the two: something else may be there */
	bool elsewhere; /* and still mounted at another place of this namespace */
	uid_t owner;
	gid_t group;
	char type[32]; /* of what is there */
};

struct batch {
	struct ending *endings;
	int pipe;
	int round; /* from 0: in the later ones there may be anything below a view */
	struct place places[BATCH];
	size_t count;
	struct place *sorted[BATCH]; /* those that are open, by sort_places() */
	size_t sorted_count;
};

static void tell(const struct batch *batch, size_t item, enum end_word word,
		 const struct view_error *error)
{
	struct end_record record = {.item = item, .word = word};
	struct iovec parts[] = {{&record, sizeof(record)}, {NULL, 0}};

	if (error && error->code != CODE_NONE) {
		record.code = error->code;
		record.length = strlen(error->message);
		parts[1] = (struct iovec){(void *)(uintptr_t)error->message, record.length};
	}
	/* The parent reads all of it, or is gone. */
	if (writev(batch->pipe, parts, 2) < 0)
		_exit(1);
}

static void finish(const struct batch *batch, struct place *place, const struct view_error *error)
{
	tell(batch, place->item, END_FINISHED, error);
	place->fd = close_keep_errno(place->fd);
}

static void fail(const struct batch *batch, struct place *place, int r)
{
	VIEW_ERROR(error);

	view_fail(&error, MSG_UNMOUNT, batch->endings[place->item].path, strerror(-r));
	finish(batch, place, &error);
}

/* Opens what is at a place. Returns: > 0: there is something; 0: nothing; < 0: -errno. */
static int open_place(const char *directory, struct place *place)
{
	cleanup_free char *path = mountpoint_path(directory);
	struct statx stx;

	/* An empty name is a slip of a script's, not a place where nothing is. */
	if (!path)
		return *directory && (errno == ENOENT || errno == ENOTDIR) ? 0 : -errno;
	place->fd = mountpoint_open(path);
	if (place->fd < 0)
		return place->fd == -ENOENT || place->fd == -ENOTDIR ? 0 : place->fd;
	/* With an empty mask nothing is asked of the filesystem, and all of this is told. */
	if (statx(place->fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, 0, &stx) < 0)
		return -errno;
	if (!(stx.stx_mask & STATX_MNT_ID))
		return -ENOSYS;
	place->mount_id = stx.stx_mnt_id;
	place->device = makedev(stx.stx_dev_major, stx.stx_dev_minor);
	place->is_root = stx.stx_attributes & STATX_ATTR_MOUNT_ROOT;
	return place->is_root;
}

static void open_places(struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct place *place = &batch->places[i];
		int r;

		if (place->fd == -EBADF && batch->round > 0)
			continue;
		place->fd = close_keep_errno(place->fd);
		place->found = place->elsewhere = place->gone = false;
		*place->type = '\0';
		tell(batch, place->item, END_BEGUN, NULL);
		r = open_place(batch->endings[place->item].path, place);
		if (r < 0)
			fail(batch, place, r);
		else if (r == 0)
			finish(batch, place, NULL);
	}
}

static int compare_mounts(const void *a, const void *b)
{
	const struct place *one = *(struct place *const *)a, *other = *(struct place *const *)b;

	return one->mount_id < other->mount_id ? -1 : one->mount_id > other->mount_id;
}

static int compare_devices(const void *a, const void *b)
{
	const struct place *one = *(struct place *const *)a, *other = *(struct place *const *)b;

	return one->device < other->device ? -1 : one->device > other->device;
}

typedef int comparison(const void *a, const void *b);

static void sort_places(struct batch *batch, comparison *compare)
{
	batch->sorted_count = 0;
	for (size_t i = 0; i < batch->count; i++)
		if (batch->places[i].fd >= 0)
			batch->sorted[batch->sorted_count++] = &batch->places[i];
	qsort(batch->sorted, batch->sorted_count, sizeof(struct place *), compare);
}

/*
 * Those of the sorted places that compare like *key*: one may have been given twice.
 * Returns: the first one, of *ret_n*; NULL: there is none.
 */
static struct place **find_places(struct batch *batch, const struct place *key, comparison *compare,
				  size_t *ret_n)
{
	struct place **first =
		bsearch(&key, batch->sorted, batch->sorted_count, sizeof(struct place *), compare);
	struct place **end = batch->sorted + batch->sorted_count, **last = first;

	while (first && first > batch->sorted && compare(first - 1, &key) == 0)
		first--;
	while (first && last < end && compare(last, &key) == 0)
		last++;
	*ret_n = first ? (size_t)(last - first) : 0;
	return first;
}

/* Writes down what a mount is, at the places that it is. *line* is its line, not parsed yet. */
static void identify_mount(struct batch *batch, const struct place *mount, char *line)
{
	size_t n;
	struct place **places = find_places(batch, mount, compare_mounts, &n);
	struct mount_entry entry;

	if (n == 0 || mount_entry_parse(line, &entry) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		struct place *place = places[i];

		place->found = strcmp(entry.type, VIEW_TYPE) == 0 &&
			       entry.device == place->device &&
			       mount_entry_owner(entry.super, &place->owner, &place->group) == 0;
		strncpy(place->type, entry.type, sizeof(place->type) - 1);
	}
}

/* Marks the places whose views are still mounted somewhere in this namespace. */
static void mark_mounted(struct batch *batch, const struct place *mount, char *line)
{
	size_t n;
	struct place **places = find_places(batch, mount, compare_devices, &n);

	(void)line;
	for (size_t i = 0; i < n; i++)
		places[i]->elsewhere = true;
}

/*
 * Calls *take* for each line of the mount table, of which *mount* has the id and the device; the
 * places are sorted by *compare*. Returns: 0 or -errno.
 */
static int read_table(struct batch *batch, comparison *compare,
		      void (*take)(struct batch *batch, const struct place *mount, char *line))
{
	cleanup_with(mountinfo_close) struct mountinfo mountinfo = {};
	struct place mount = {};
	int r = mountinfo_open(&mountinfo);

	if (r < 0)
		return r;
	sort_places(batch, compare);
	while ((r = mountinfo_next_id(&mountinfo, &mount.mount_id, &mount.device)) > 0)
		take(batch, &mount, mountinfo.line);
	return r;
}

/*
 * Whether a view is dead. Of another user's view the kernel tells root nothing: it is asked as its
 * owner.
 */
static bool is_dead(const struct place *place)
{
	struct question question = {.fd = place->fd, .owner = place->owner, .group = place->group};

	if (place->owner == 0 || place->owner == geteuid())
		return mountpoint_is_dead(place->fd);
	if (ask_all(&question, 1, now_us() + ANSWER_MS * UINT64_C(1000)) < 0)
		return false;
	free(question.answer);
	return question.result == -ENOTCONN;
}

/* Leaves what is no view. */
static void leave_place(struct batch *batch, struct place *place)
{
	const struct ending *ending = &batch->endings[place->item];
	VIEW_ERROR(error);

	if (!*place->type && batch->round < GONE_ROUNDS) {
		place->gone = true;
		return;
	}
	if (*place->type && batch->round == 0 && !ending->device)
		view_fail(&error, MSG_NOT_A_VIEW, ending->path, place->type);
	finish(batch, place, &error);
}

/* Unmounts what is a view. */
static void unmount_place(struct batch *batch, struct place *place)
{
	const struct ending *ending = &batch->endings[place->item];
	int r;

	tell(batch, place->item, END_BEGUN, NULL);
	if ((ending->device && ending->device != place->device) ||
	    (ending->only_dead && !is_dead(place))) {
		finish(batch, place, NULL);
		return;
	}
	r = mountpoint_detach_fd(place->fd);
	if (r == 0)
		tell(batch, place->item, END_REMOVED, NULL);
	/* EINVAL: it is gone already. */
	else if (r != -EINVAL)
		fail(batch, place, r);
}

/* Where fusectl is out of reach: a user's own view names its process. Returns: 0 or -errno. */
static int end_by_signal(const struct place *place)
{
	cleanup_with(view_answer_done) struct view_answer answer = {};
	struct question question = {.fd = place->fd, .owner = place->owner, .group = place->group};
	cleanup_close int pidfd = -EBADF;
	int r = ask_all(&question, 1, now_us() + ANSWER_MS * UINT64_C(1000));

	if (r == 0 && question.answer)
		r = view_answer_parse(question.answer, question.length, &answer);
	free(question.answer);
	if (r < 0 || answer.pid == 0)
		return -ESRCH;
	pidfd = view_process_open(answer.pid, place->device);
	if (pidfd < 0)
		return pidfd;
	return process_terminate(pidfd);
}

/* Ends the views that no mount of this namespace leads to any more. */
static void end_views(struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		const struct place *place = &batch->places[i];

		if (place->fd < 0 || place->gone || place->elsewhere)
			continue;
		if (fusectl_abort(place->fd) == 0)
			continue;
		tell(batch, place->item, END_WAITING, NULL);
		/* Otherwise it ends where nothing else holds it. */
		end_by_signal(place);
	}
}

/* The place whose view was ended; the places are sorted by device. NULL: there is none. */
static struct place *find_ended(struct batch *batch, dev_t device)
{
	size_t n;
	struct place **places =
		find_places(batch, &(struct place){.device = device}, compare_devices, &n);

	for (size_t i = 0; i < n; i++)
		if (places[i]->fd >= 0 && !places[i]->gone && !places[i]->elsewhere)
			return places[i];
	return NULL;
}

/*
 * Waits for a process whose view was ended. One that is stopped, or that was just about to stop
 * when it was looked at, does not see that. Returns: as process_wait_end().
 */
static int wait_for_process(int pidfd, bool stopped, uint64_t deadline_us)
{
	uint64_t grace_us = now_us() + GRACE_MS * UINT64_C(1000);

	if (!stopped && process_wait_end(pidfd, grace_us) == 0)
		return 0;
	process_terminate(pidfd);
	return process_wait_end(pidfd, deadline_us);
}

/* Waits for a process, if it serves a view that was ended. */
static void wait_for_one(struct batch *batch, const struct view_process *process, uid_t owner,
			 uint64_t deadline_us)
{
	/* Of a user's process the kernel tells only root. */
	dev_t device = process->device ? process->device : process->claimed;
	struct place *place = find_ended(batch, device);
	cleanup_close int pidfd =
		place ? view_process_open_of(process->pid, device, owner) : -ESRCH;
	VIEW_ERROR(error);
	int r;

	if (pidfd < 0)
		return;
	r = wait_for_process(pidfd, process->stopped, deadline_us);
	if (r < 0) {
		view_fail(&error, MSG_GOES_ON, batch->endings[place->item].path, process->pid,
			  strerror(-r));
		finish(batch, place, &error);
	}
}

/* Waits for the processes of root and *owner*. */
static void wait_for_those_of(struct batch *batch, uid_t owner, uint64_t deadline_us)
{
	cleanup_with(view_processes_done) struct view_processes processes = {};

	if (view_processes_find(owner, owner == geteuid() && owner != 0, &processes) < 0)
		return;
	for (size_t i = 0; i < processes.count; i++)
		wait_for_one(batch, &processes.items[i], owner, deadline_us);
}

/* Whether a view is a user's, and no place before it has a view of that user. */
static bool is_new_owner(const struct batch *batch, size_t i)
{
	const struct place *places = batch->places;

	if (places[i].fd < 0 || places[i].owner == 0)
		return false;
	for (size_t before = 0; before < i; before++)
		if (places[before].fd >= 0 && places[before].owner == places[i].owner)
			return false;
	return true;
}

/* Waits for the processes of the views that were ended: root for those of each owner. */
static void wait_for_processes(struct batch *batch)
{
	uint64_t deadline_us = now_us() + END_MS * UINT64_C(1000);

	tell(batch, batch->places[0].item, END_WAITING, NULL);
	wait_for_those_of(batch, geteuid(), deadline_us);
	for (size_t i = 0; geteuid() == 0 && i < batch->count; i++)
		if (is_new_owner(batch, i))
			wait_for_those_of(batch, batch->places[i].owner, deadline_us);
}

/* Returns: > 0: there may be more below; 0: all is done; < 0: -errno. */
static int end_round(struct batch *batch)
{
	bool more = false;
	int r;

	open_places(batch);
	r = read_table(batch, compare_mounts, identify_mount);
	for (size_t i = 0; r == 0 && i < batch->count; i++) {
		struct place *place = &batch->places[i];

		if (place->fd >= 0 && place->found)
			unmount_place(batch, place);
		else if (place->fd >= 0)
			leave_place(batch, place);
	}
	if (r == 0)
		r = read_table(batch, compare_devices, mark_mounted);
	for (size_t i = 0; i < batch->count; i++)
		more |= batch->places[i].fd >= 0;
	if (r < 0 || !more)
		return r;
	end_views(batch);
	wait_for_processes(batch);
	return 1;
}

static void end_batch(struct batch *batch)
{
	int r = 1;

	for (int round = 0; r > 0 && round < ROUNDS_MAX; round++) {
		batch->round = round;
		r = end_round(batch);
	}
	for (size_t i = 0; i < batch->count; i++)
		if (batch->places[i].fd >= 0)
			fail(batch, &batch->places[i], r < 0 ? r : -ELOOP);
	batch->count = 0;
}

/* The places of a batch are held open at once. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int end_batches(void *argument)
{
	const struct end_errand *errand = argument;
	static struct batch batch;

	raise_descriptor_limit();
	batch = (struct batch){.endings = errand->endings, .pipe = errand->pipe};
	for (size_t i = 0; i < errand->count; i++) {
		if (errand->finished[i])
			continue;
		batch.places[batch.count++] = (struct place){.item = i, .fd = -EBADF};
		if (batch.count == BATCH)
			end_batch(&batch);
	}
	end_batch(&batch);
	return 0;
}
