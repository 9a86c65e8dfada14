/* SPDX-License-Identifier: Apache-2.0 */
/* viewfsctl list: the views of this mount namespace, and others. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuse/base/json.h"
#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/base/text.h"
#include "fuse/ctl/ctl.h"
#include "fuse/ctl/list-row.h"
#include "fuse/process/run-with-timeout.h"
#include "fuse/source/container.h"

static void list_print_help(void)
{
	puts("Usage: viewfsctl list [--json|--prometheus] [--all] [--id=ID] [--container=ID]\n"
	     "                      [--state-dir=DIR] [-o COLUMNS]\n"
	     "\n"
	     "Lists the views that are mounted here, dead ones too. A view's STATE is alive; not\n"
	     "answering, if its process is stopped, frozen or hangs; dead, if its process is "
	     "gone:\n"
	     "remove it with 'viewfsctl gc'; or unknown, if it was not asked: another user's "
	     "view,\n"
	     "or one that another mount covers. MEMORY is the private, written memory of the\n"
	     "view's process. SANDBOX is full, partial (--json names the measures in force), or\n"
	     "not yet, during the moment after the mount. MISSING are the artifacts that the "
	     "image\n"
	     "names and does not hold. On a terminal an id is short, and shown once.\n"
	     "\n"
	     "      --all      also the views that no mount of this namespace leads to: those of\n"
	     "                 other mount namespaces and detached ones. Their processes report "
	     "the\n"
	     "                 data, so it is marked unverified. Other users' views are asked, "
	     "too\n"
	     "      --id=ID    only views of that id; of an id of 64 digits the first 12 are "
	     "enough\n"
	     "      --container=ID\n"
	     "                 only views of that running container's id, of which the beginning\n"
	     "                 is enough\n"
	     "      --state-dir=DIR\n"
	     "                 containerd's state directory in which --container is looked up\n"
	     "  -o COLUMNS     these columns, separated by commas, in this order:");
	list_columns_help();
	puts("      --json     one JSON object; an unknown value is null:\n"
	     "                 {\"views\":[{\"mountpoint\", \"root\" (the part of the view that\n"
	     "                 stands there, \"/\" for all), \"label\", \"device\", \"state\",\n"
	     "                 \"detached\" (made without a mountpoint), \"pid\",\n"
	     "                 \"id\", \"passthrough\", \"layers\" (their number), \"image\", "
	     "\"artifacts\"\n"
	     "                 (objects as in the ready line), \"missing\" (paths),\n"
	     "                 \"private_dirty\" (bytes), \"sandbox\" (the measures in force),\n"
	     "                 \"survives\", \"generation\" (of the process), \"version\",\n"
	     "                 \"owner\" (a user id), \"verified\"}]}\n"
	     "      --prometheus\n"
	     "                 metrics for the textfile collector of node_exporter\n"
	     "  -h, --help     this text\n"
	     "  -V, --version  the version, and what this build and this kernel can do\n"
	     "\n"
	     "Exit status: 0, 1 usage, 2 system.");
}

static int list_print_table(const struct views *views, const struct list_columns *columns)
{
	cleanup_with(table_done) struct table table = {
		.columns = columns->titles,
		.width = columns->count,
	};
	bool terminal = isatty(STDOUT_FILENO);

	for (size_t i = 0; i < views->count; i++) {
		struct list_row row = list_row(&views->items[i], columns->memory);

		if (list_row_add(&table, columns, &row, terminal) < 0)
			return -ENOMEM;
	}
	table_print(&table);
	return 0;
}

static int list_print_json(const struct views *views)
{
	cleanup_with(json_done) struct json_object *object = json_object_new_object();
	struct json_object *list = json_object_new_array();

	if (!object || json_add(object, "views", list) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < views->count; i++) {
		struct list_row row = list_row(&views->items[i], true);

		if (json_append(list, list_row_json(&row)) < 0)
			return -ENOMEM;
	}
	json_print(object);
	return 0;
}

/* Leaves only the views of an id. Returns: 0 or -ENOMEM. */
static int keep_id(struct views *views, const char *id)
{
	cleanup_free char *wanted = name_printable(id);
	size_t kept = 0;

	if (!wanted)
		return -ENOMEM;
	for (size_t i = 0; i < views->count; i++) {
		struct listed_view *view = &views->items[i];

		if (ctl_is_id(json_string(view->answer.ready, "id"), wanted))
			views->items[kept++] = *view;
		else
			view_answer_done(&view->answer);
	}
	views->count = kept;
	return 0;
}

/* What a process of its own finds: a state directory may never answer. */
struct lookup {
	const struct container_wish *wanted;
	char id[NAME_MAX + 1];
	struct view_error error;
};

static int look_up(void *argument)
{
	cleanup_with(container_done) struct container container = {};
	struct lookup *lookup = argument;

	if (container_find(lookup->wanted, &container, &lookup->error) == 0)
		snprintf(lookup->id, sizeof(lookup->id), "%s", container_id(&container));
	return 0;
}

/* Finds the whole id of --container. Returns: 0, or < 0 with *error*. */
static int find_container(const struct ctl_call *call, char ret[static NAME_MAX + 1],
			  struct view_error *error)
{
	struct lookup *lookup = mmap(NULL, sizeof(*lookup), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned seconds = call->options.timeout;
	int r;

	if (lookup == MAP_FAILED)
		return view_fail(error, MSG_NO_MEMORY);
	lookup->wanted = &call->container;
	r = run_with_timeout(look_up, lookup, seconds);
	if (r == -ETIMEDOUT)
		view_fail(error, MSG_NOT_DONE, seconds);
	else if (r < 0)
		view_fail(error, MSG_SYSTEM, "list", strerror(-r));
	else
		*error = lookup->error;
	memcpy(ret, lookup->id, sizeof(lookup->id));
	munmap(lookup, sizeof(*lookup));
	return error->code == CODE_NONE ? 0 : -ECANCELED;
}

static int list_run(const struct ctl_call *call, struct view_error *error)
{
	cleanup_with(views_done) struct views views = {};
	struct list_columns columns;
	char id[NAME_MAX + 1] = "";
	int r;

	list_columns_default(&columns);
	if (call->columns && list_columns_parse(call->columns, &columns, error) < 0)
		return -ECANCELED;
	if (call->json + call->prometheus + (call->columns != NULL) > 1)
		return view_fail(error, MSG_ONE_FORM);
	if (call->container.container && find_container(call, id, error) < 0)
		return -ECANCELED;
	r = views_read(call->all ? VIEWS_STRANGERS | VIEWS_ELSEWHERE : VIEWS_MOUNTED, &views);
	if (r == 0 && call->id)
		r = keep_id(&views, call->id);
	if (r == 0 && *id)
		r = keep_id(&views, id);
	if (r == 0 && views.partial)
		log_warn("there are too many processes: some views may not be listed");
	if (r == 0 && call->prometheus)
		list_print_metrics(&views);
	else if (r == 0)
		r = call->json ? list_print_json(&views) : list_print_table(&views, &columns);
	return r < 0 ? view_fail(error, MSG_SYSTEM, "list", strerror(-r)) : 0;
}

const struct ctl_command ctl_list = {
	.name = "list",
	.summary = "the views that are mounted here, dead or alive",
	.print_help = list_print_help,
	.run = list_run,
	.json = true,
	.all = true,
	.prometheus = true,
	.id = true,
	.container = true,
	.columns = true,
	.capabilities = CTL_LOOK_AT_VIEWS,
};
