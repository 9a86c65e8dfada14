/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mountinfo says where views are, and each view says what it is. Every connection is asked once,
 * through one of its mounts.
 */
#include "fuse/live/views.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/base/clock.h"
#include "fuse/live/ask.h"
#include "fuse/mount/mountpoint.h"
#include "layerindex/array.h"

enum { ASK_MS = 5000 }; /* for all of them */

void views_done(struct views *views)
{
	for (size_t i = 0; i < views->count; i++)
		view_answer_done(&views->items[i].answer);
	free(views->items);
	mnt_unref_table(views->table);
	*views = (struct views){};
}

static int views_add(struct views *views, const struct listed_view *view)
{
	struct listed_view *items =
		array_grow(views->items, views->count, &views->capacity, sizeof(*items));

	if (!items)
		return -ENOMEM;
	views->items = items;
	views->items[views->count++] = *view;
	return 0;
}

static int read_mounts(struct views *views)
{
	cleanup_with(mount_iter_done) struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
	struct listed_view view = {.mounted = true, .state = VIEW_UNKNOWN};
	const char *super;
	int r = iter ? mount_table_read(NULL, &views->table) : -ENOMEM;

	while (r == 0 && mount_table_next(views->table, iter, &view.entry, &super))
		if (strcmp(view.entry.type, VIEW_TYPE) == 0 &&
		    mount_entry_owner(super, &view.owner, &view.group) == 0)
			r = views_add(views, &view);
	return r;
}

/* The views, each connection's together, rather all of a view before a file of it. */
static int compare_connections(const void *a, const void *b)
{
	const struct listed_view *one = *(struct listed_view *const *)a;
	const struct listed_view *other = *(struct listed_view *const *)b;
	int parts = strcmp(one->entry.root, "/") != 0,
	    other_parts = strcmp(other->entry.root, "/") != 0;

	if (one->entry.device != other->entry.device)
		return one->entry.device < other->entry.device ? -1 : 1;
	if (parts != other_parts)
		return parts - other_parts;
	return one->entry.id < other->entry.id ? -1 : 1;
}

/* Returns: the views in that order; owned, or NULL without memory. */
static struct listed_view **sort_views(struct views *views)
{
	struct listed_view **sorted = calloc(views->count + 1, sizeof(struct listed_view *));

	for (size_t i = 0; sorted && i < views->count; i++)
		sorted[i] = &views->items[i];
	if (sorted)
		qsort(sorted, views->count, sizeof(struct listed_view *), compare_connections);
	return sorted;
}

/* Whether it is of the same connection as the one before it. */
static bool is_same_connection(struct listed_view **sorted, size_t i)
{
	return i > 0 && sorted[i - 1]->entry.device == sorted[i]->entry.device;
}

static enum view_state state_of(int result)
{
	switch (result) {
	case 0:
	case -ENOTTY:
	case -EACCES: return VIEW_ALIVE;
	case -ENOTCONN: return VIEW_DEAD;
	case -ETIMEDOUT: return VIEW_NOT_ANSWERING;
	default: return VIEW_UNKNOWN;
	}
}

/* Writes down what a view answered. Returns: 0 or -ENOMEM. */
static int take_answer(struct listed_view *view, const struct question *question)
{
	int r = 0;

	view->state = state_of(question->result);
	if (question->answer)
		r = view_answer_parse(question->answer, question->length, &view->answer);
	return r == -ENOMEM ? r : 0;
}

static bool is_stranger(const struct listed_view *view)
{
	return view->owner != 0 && view->owner != geteuid();
}

/* One round: of each connection in *asked*, the next mount. Returns: 0 or -errno. */
static int ask_views(struct listed_view **asked, size_t n, uint64_t deadline_us)
{
	cleanup_free struct question *questions = calloc(n + 1, sizeof(*questions));
	int r = questions ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < n; i++)
		questions[i] = (struct question){
			.path = asked[i]->entry.mountpoint,
			.mount_id = asked[i]->entry.id,
			.device = asked[i]->entry.device,
			.owner = asked[i]->owner,
			.group = asked[i]->group,
		};
	if (r == 0)
		r = ask_all(questions, n, deadline_us);
	for (size_t i = 0; questions && i < n; i++) {
		if (r == 0)
			r = take_answer(asked[i], &questions[i]);
		free(questions[i].answer);
	}
	return r;
}

/* What one mount of a connection said goes for its others. */
static void share_answers(struct listed_view **sorted, size_t n)
{
	const struct listed_view *known = NULL;

	for (size_t i = 0; i < n; i++) {
		sorted[i]->repeated = is_same_connection(sorted, i);
		if (!sorted[i]->repeated)
			known = NULL;
		if (!known && sorted[i]->state != VIEW_UNKNOWN)
			known = sorted[i];
		if (!known || sorted[i]->state != VIEW_UNKNOWN)
			continue;
		sorted[i]->state = known->state;
		sorted[i]->answer = known->answer;
		json_object_get(known->answer.ready);
	}
}

/*
 * Adds views to *asked*, which holds *n*: of each connection the first mount, or the *others*; of
 * *strangers*, or of root and the caller. Returns: how many there are then.
 */
static size_t choose_asked(struct listed_view **sorted, size_t count, bool others, bool strangers,
			   struct listed_view **asked, size_t n)
{
	for (size_t i = 0; i < count; i++) {
		if (is_same_connection(sorted, i) == others &&
		    is_stranger(sorted[i]) == strangers && sorted[i]->state == VIEW_UNKNOWN)
			asked[n++] = sorted[i];
	}
	return n;
}

/*
 * Asks each connection through one mount; where that is covered, through the others. Strangers
 * come last. Returns: 0 or -errno.
 */
static int ask_connections(struct views *views, unsigned scope)
{
	cleanup_free struct listed_view **sorted = sort_views(views);
	cleanup_free struct listed_view **asked =
		calloc(views->count + 1, sizeof(struct listed_view *));
	uint64_t deadline_us = now_us() + ASK_MS * UINT64_C(1000);
	int r = sorted && asked ? 0 : -ENOMEM;

	for (int round = 0; r == 0 && round < 2; round++) {
		/* In the second round the others of those that were covered. */
		size_t n = choose_asked(sorted, views->count, round > 0, false, asked, 0);

		if (scope & VIEWS_STRANGERS)
			n = choose_asked(sorted, views->count, round > 0, true, asked, n);
		r = ask_views(asked, n, deadline_us);
		if (r == 0)
			share_answers(sorted, views->count);
	}
	return r;
}

/* Whether a view's process must be looked for: the view does not name it. */
static bool lacks_process(const struct listed_view *view)
{
	return view->pid == 0 && view->state != VIEW_DEAD && view->state != VIEW_UNKNOWN;
}

/* Finds the processes of the views that are mounted. */
static bool name_processes(struct views *views)
{
	bool lacking = false;

	for (size_t i = 0; i < views->count; i++) {
		struct listed_view *view = &views->items[i];
		cleanup_close int pidfd =
			view->answer.pid ? view_process_open(view->answer.pid, view->entry.device)
					 : -ESRCH;

		view->pid = pidfd < 0 ? 0 : view->answer.pid;
		lacking |= lacks_process(view) && !view->answer.ready;
	}
	return lacking;
}

static int compare_devices(const void *a, const void *b)
{
	const dev_t *one = a, *other = b;

	return *one < *other ? -1 : *one > *other;
}

/* The devices of the views that are mounted here, sorted; owned, or NULL without memory. */
static dev_t *mounted_devices(const struct views *views)
{
	dev_t *devices = calloc(views->count + 1, sizeof(*devices));

	for (size_t i = 0; devices && i < views->count; i++)
		devices[i] = views->items[i].entry.device;
	if (devices)
		qsort(devices, views->count, sizeof(*devices), compare_devices);
	return devices;
}

static int compare_processes(const void *a, const void *b)
{
	const struct view_process *one = a, *other = b;

	if (one->device != other->device)
		return one->device < other->device ? -1 : 1;
	return one->pid < other->pid ? -1 : one->pid > other->pid;
}

static int compare_served(const void *key, const void *item)
{
	const struct view_process *process = item;

	return compare_devices(key, &process->device);
}

/* Names the processes of views, as the kernel tells them; they are sorted. */
static void find_lacking(struct views *views, const struct view_processes *processes)
{
	for (size_t i = 0; i < views->count; i++) {
		struct listed_view *view = &views->items[i];
		const struct view_process *process = NULL;

		if (lacks_process(view) && processes->count > 0)
			process = bsearch(&view->entry.device, processes->items, processes->count,
					  sizeof(*processes->items), compare_served);
		view->pid = process ? process->pid : view->pid;
	}
}

/* Adds a view that no mount of this namespace leads to. */
static int add_elsewhere(struct views *views, struct view_process *process, bool repeated)
{
	struct listed_view view = {
		.entry.device = process->device,
		.repeated = repeated,
		.state = process->stopped ? VIEW_NOT_ANSWERING : VIEW_ALIVE,
		.pid = process->pid,
	};
	int r;

	view.answer.ready = TAKE_PTR(process->title);
	r = views_add(views, &view);
	if (r < 0)
		view_answer_done(&view.answer);
	return r;
}

/* Looks at the processes: for those of views that do not name theirs, and for other views. */
static int add_processes(struct views *views, bool elsewhere)
{
	cleanup_with(view_processes_done) struct view_processes processes = {};
	cleanup_free dev_t *mounted = mounted_devices(views);
	size_t n = views->count;
	int r = mounted ? view_processes_find(geteuid(), elsewhere, &processes) : -ENOMEM;

	views->partial = processes.partial;
	if (r == 0 && processes.count > 0)
		qsort(processes.items, processes.count, sizeof(*processes.items),
		      compare_processes);
	find_lacking(views, &processes);
	for (size_t i = 0; r == 0 && elsewhere && i < processes.count; i++) {
		dev_t device = processes.items[i].device;

		/* The kernel tells users nothing. Without a title it may serve nothing. */
		if (!device && !processes.items[i].title)
			continue;
		if (!device)
			device = processes.items[i].claimed;
		if (!bsearch(&device, mounted, n, sizeof(*mounted), compare_devices))
			r = add_elsewhere(views, &processes.items[i],
					  device && i > 0 &&
						  processes.items[i - 1].device == device);
	}
	return r;
}

int views_read(unsigned scope, struct views *ret)
{
	cleanup_with(views_done) struct views views = {};
	bool elsewhere = scope & VIEWS_ELSEWHERE;
	int r = read_mounts(&views);

	if (r == 0)
		r = ask_connections(&views, scope);
	if (r == 0 && (name_processes(&views) || elsewhere))
		r = add_processes(&views, elsewhere);
	if (r < 0)
		return r;
	*ret = TAKE(views, (struct views){});
	return 0;
}

const char *view_state_name(enum view_state state)
{
	static const char *const names[] = {
		[VIEW_ALIVE] = "alive",
		[VIEW_NOT_ANSWERING] = "not answering",
		[VIEW_DEAD] = "dead",
		[VIEW_UNKNOWN] = "unknown",
	};

	return names[state];
}
