/* SPDX-License-Identifier: Apache-2.0 */
/* viewfsctl upgrade: the installed program takes over running views. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fuse/base/clock.h"
#include "fuse/base/json.h"
#include "fuse/base/messages.h"
#include "fuse/base/text.h"
#include "fuse/ctl/ctl.h"
#include "fuse/live/views.h"
#include "fuse/process/self-exe.h"
#include "fuse/serve/upgrade.h"

enum {
	TRIES = 5, /* at a view whose process has another successor each time */
	/* Views whose new processes get ready while the one before them is handed over. */
	AHEAD = 2,
};

static void upgrade_print_help(void)
{
	puts("Usage: viewfsctl upgrade [--json] [--binary=PATH] [-o timeout=SECONDS] ID…\n"
	     "       viewfsctl upgrade [--json] [--binary=PATH] [-o timeout=SECONDS] --all\n"
	     "\n"
	     "Replaces the processes of running views by ones of the installed urunc-viewfs, so\n"
	     "that a fixed version, or a fixed library, reaches them. Nothing is unmounted, open\n"
	     "files stay open, and no reader sees an error. Where a view cannot be upgraded, its\n"
	     "process goes on. Run it as root after an upgrade of the package, of libfuse or of\n"
	     "json-c.\n"
	     "\n"
	     "Of an id of 64 digits the first 12 are enough.\n"
	     "\n"
	     "      --all          all views, also those that no mount of this namespace leads "
	     "to\n"
	     "      --binary=PATH  this program, not the urunc-viewfs beside viewfsctl\n"
	     "      --json         as JSON: for each view \"id\", \"mountpoint\", \"upgraded\", "
	     "and\n"
	     "                     \"pid\" or \"error\"\n"
	     "  -o timeout=SECONDS give up after that long (default 10)\n"
	     "  -h, --help         this text\n"
	     "  -V, --version      the version, and what this build and this kernel can do\n"
	     "\n"
	     "Exit status: 0, 1 usage, 2 system, 32 a view was not upgraded, or an ID has none.");
}

/* A view whose upgrade has begun. */
struct begun {
	const struct listed_view *view;
	struct upgrade *upgrade; /* owned; NULL: it could not begin */
	int result;		 /* of upgrade_begin() */
	struct view_error failure;
};

/* An upgrade of views. */
struct work {
	const struct ctl_call *call;
	int program; /* owned */
	uint64_t deadline_us;
	struct json_object *done; /* an array, with --json; owned */
	int status;
	/* Those that have begun, the first one at *oldest*; their places are used in turns. */
	struct begun begun[AHEAD];
	size_t oldest, count;
};

static void work_done(struct work *work)
{
	close_keep_errno(work->program);
	json_done(&work->done);
	for (size_t i = 0; i < AHEAD; i++)
		if (work->begun[i].upgrade)
			upgrade_drop(work->begun[i].upgrade);
}
DEFINE_CLEANUP(struct work, work_done)

static int open_program(const char *given, struct view_error *error)
{
	char beside[PATH_MAX];
	const char *path = given ? given : beside;
	cleanup_close int fd = -EBADF;
	struct stat st;
	int r = given ? 0 : program_path(PROGRAM_NAME, beside);

	if (r < 0)
		return view_fail(error, MSG_NO_PROC);
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return view_fail(error, MSG_PROGRAM, path, strerror(errno));
	if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		return view_fail(error, MSG_PROGRAM, path, "not a program");
	return TAKE_FD(fd);
}

static const char *id_of(const struct listed_view *view)
{
	return json_string(view->answer.ready, "id");
}

/* The view in words: where it is mounted, or its id. */
static const char *name_of(const struct listed_view *view)
{
	const char *id = id_of(view);

	if (view->mounted)
		return view->entry.mountpoint;
	return id ? id : "a view without id";
}

/* Returns: 0 or -ENOMEM. */
static int describe(struct json_object *array, const struct listed_view *view, pid_t pid,
		    const struct view_error *error)
{
	struct json_object *object = json_object_new_object();
	const char *id = id_of(view);
	int r = json_append(array, object);

	if (r == 0 && id)
		r = json_add(object, "id", json_object_new_string(id));
	if (r == 0 && view->mounted)
		r = json_add(object, "mountpoint", json_printable(view->entry.mountpoint));
	if (r == 0)
		r = json_add(object, "upgraded", json_object_new_boolean(pid > 0));
	if (r == 0 && pid > 0)
		r = json_add(object, "pid", json_object_new_int(pid));
	else if (r == 0)
		r = json_add(object, "error", ctl_describe_error(error));
	return r;
}

/* Tells how it went with a view: *pid* is its new process, or < 0 with *failure*. */
static int report(struct work *work, const struct listed_view *view, pid_t pid,
		  const struct view_error *failure, struct view_error *error)
{
	cleanup_free char *name = text_printable(name_of(view));
	struct view_error named;

	if (!name)
		return view_fail(error, MSG_NO_MEMORY);
	named.code = CODE_NONE;
	if (pid < 0) {
		view_fail(&named, MSG_UPGRADE, name, failure->message);
		/* What the machine lacks is no fault of the view's. */
		named.code = failure->code;
	}
	if (pid < 0)
		ctl_goes_on(&named, &work->status);
	else if (!work->done)
		printf("upgraded '%s': process %d\n", name, pid);
	if (work->done && describe(work->done, view, pid, &named) < 0)
		return view_fail(error, MSG_NO_MEMORY);
	return 0;
}

/* Finds the view with *device* anew: its process has been replaced meanwhile. */
static const struct listed_view *find_again(struct views *views, dev_t device)
{
	if (views_read(VIEWS_ELSEWHERE | VIEWS_STRANGERS, views) < 0)
		return NULL;
	for (size_t i = 0; i < views->count; i++)
		if (views->items[i].entry.device == device && !views->items[i].repeated)
			return &views->items[i];
	return NULL;
}

/* What the view says of its process is looked at before it is believed (upgrade-target.h). */
static struct upgrade_wish wish_of(const struct listed_view *view)
{
	pid_t pid = view->answer.standby ? view->answer.standby : view->answer.pid;

	return (struct upgrade_wish){
		.pid = pid ? pid : view->pid,
		.device = view->entry.device,
		.owner = view->mounted ? view->owner : geteuid(),
		.generation = view->answer.generation,
	};
}

/* Begins to upgrade a view as it is *seen* now. */
static void begin(const struct work *work, const struct listed_view *seen, struct begun *begun)
{
	struct upgrade_wish wish = wish_of(seen);

	if (now_us() >= work->deadline_us)
		begun->result =
			view_fail(&begun->failure, MSG_NOT_DONE, work->call->options.timeout);
	else if (wish.pid > 0)
		begun->result =
			upgrade_begin(&wish, work->program, &begun->upgrade, &begun->failure);
	else
		begun->result = -ESRCH;
}

/* Begins anew with a view whose process is gone. Returns: whether there is such a view. */
static bool begin_again(const struct work *work, struct begun *begun)
{
	cleanup_with(views_done) struct views views = {};
	const struct listed_view *found = find_again(&views, begun->view->entry.device);

	if (found)
		begin(work, found, begun);
	return found;
}

/* Returns: the new process, or < 0 with the failure. */
static pid_t finish(const struct work *work, struct begun *begun)
{
	for (int i = 1; begun->result == -ESRCH && i < TRIES && begin_again(work, begun); i++)
		continue;
	if (begun->result == -ESRCH)
		return view_fail(&begun->failure, MSG_NOT_UPGRADED,
				 "its process cannot be found from here");
	if (begun->result < 0)
		return begun->result;
	return upgrade_finish(TAKE_PTR(begun->upgrade), work->deadline_us, &begun->failure);
}

/* Finishes the oldest one, and tells how it went. Returns: 0, or < 0 with *error*. */
static int finish_oldest(struct work *work, struct view_error *error)
{
	struct begun *begun = &work->begun[work->oldest];
	pid_t pid = finish(work, begun);

	work->oldest = (work->oldest + 1) % AHEAD;
	work->count--;
	return report(work, begun->view, pid, &begun->failure, error);
}

/* Upgrades a view, at once or later. Returns: 0, or < 0 with *error*. */
static int add(struct work *work, const struct listed_view *view, struct view_error *error)
{
	struct begun *begun;

	if (work->count == AHEAD && finish_oldest(work, error) < 0)
		return -ECANCELED;
	begun = &work->begun[(work->oldest + work->count++) % AHEAD];
	begun->view = view;
	begun->failure.code = CODE_NONE;
	begin(work, view, begun);
	return 0;
}

/*
 * Whether the kernel tells its connection. Before Linux 6.16 it does not tell that of a process,
 * and a view that is mounted here would be listed once more.
 */
static bool is_known(const struct listed_view *view)
{
	return view->mounted || view->entry.device != 0;
}

static bool is_wanted(const struct work *work, const struct listed_view *view)
{
	if (view->repeated || !is_known(view))
		return false;
	if (work->call->all && view->state != VIEW_DEAD)
		return true;
	for (char **id = work->call->operands; *id; id++)
		if (ctl_is_id(id_of(view), *id))
			return true;
	return false;
}

/* That there is none to a given id. */
static void report_missing(struct work *work, const struct views *views)
{
	for (char **id = work->call->operands; *id; id++) {
		VIEW_ERROR(missing);
		size_t i = 0;

		while (i < views->count &&
		       !(is_known(&views->items[i]) && ctl_is_id(id_of(&views->items[i]), *id)))
			i++;
		if (i < views->count)
			continue;
		view_fail(&missing, MSG_UPGRADE_NONE, *id);
		ctl_goes_on(&missing, &work->status);
	}
}

static int upgrade_run(const struct ctl_call *call, struct view_error *error)
{
	cleanup_with(views_done) struct views views = {};
	cleanup_with(work_done) struct work work = {
		.call = call,
		.program = open_program(call->binary, error),
		.deadline_us = now_us() + call->options.timeout * UINT64_C(1000000),
		.done = call->json ? json_object_new_array() : NULL,
	};
	int r;

	if (work.program < 0)
		return -ECANCELED;
	r = views_read(VIEWS_ELSEWHERE | VIEWS_STRANGERS, &views);
	if (r < 0)
		return view_fail(error, MSG_SYSTEM, "upgrade", strerror(-r));
	report_missing(&work, &views);
	for (size_t i = 0; i < views.count; i++)
		if (is_wanted(&work, &views.items[i]) && add(&work, &views.items[i], error) < 0)
			return -ECANCELED;
	while (work.count > 0)
		if (finish_oldest(&work, error) < 0)
			return -ECANCELED;
	if (work.done) {
		cleanup_with(json_done) struct json_object *all = json_object_new_object();

		if (!all || json_add(all, "views", json_object_get(work.done)) < 0)
			return view_fail(error, MSG_NO_MEMORY);
		json_print(all);
	}
	return work.status;
}

const struct ctl_command ctl_upgrade = {
	.name = "upgrade",
	.summary = "let the installed program take over running views, without unmounting",
	.print_help = upgrade_print_help,
	.run = upgrade_run,
	.json = true,
	.all = true,
	.binary = true,
	.options = true,
	.operands = "ID",
	.capabilities = CTL_END_VIEWS | CTL_CAPABILITY(CAP_SYS_RESOURCE) |
			CTL_CAPABILITY(CAP_SYS_NICE) | CTL_CAPABILITY(CAP_SYS_CHROOT),
};
