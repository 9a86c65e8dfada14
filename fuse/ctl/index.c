/* SPDX-License-Identifier: Apache-2.0 */
/* viewfsctl index: the shared layer index, urunc-viewfs-index(5). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/clock.h"
#include "fuse/base/json.h"
#include "fuse/base/messages.h"
#include "fuse/ctl/ctl.h"
#include "fuse/ctl/index-entries.h"
#include "fuse/ctl/table.h"
#include "fuse/ctl/timed.h"
#include "fuse/view/index-policy.h"

enum {
	STATUS_NOT_WELL = 32,
	NAME_SHOWN = 12, /* of a name's digits: enough to tell some thousands apart */
};

static void index_print_help(void)
{
	puts("Usage: viewfsctl index list|verify|clear [--json] [-o OPTIONS] [DIR]\n"
	     "\n"
	     "Lists, verifies or clears the layer index in DIR, which keeps what views found in\n"
	     "layers for later views. The default of DIR is /run/urunc-viewfs/.index, and for\n"
	     "users other than root $XDG_RUNTIME_DIR/urunc-viewfs/.index. A missing index is not\n"
	     "an error.\n"
	     "\n"
	     "  list           the entries, most recently used first. LAYERS and PATHS are their\n"
	     "                 numbers in an entry, SIZE is its size on the disk. STATE is "
	     "current;\n"
	     "                 stale, if its topmost layer is gone or was replaced; damaged, "
	     "which\n"
	     "                 includes entries of other versions; or temporary, if the entry is\n"
	     "                 being written or its writer died\n"
	     "  verify         the useless entries: stale or damaged ones, and temporary ones "
	     "older\n"
	     "                 than a minute. 'viewfsctl gc' removes them\n"
	     "  clear          remove all entries, and no other file in DIR\n"
	     "\n"
	     "      --json     one JSON object:\n"
	     "                 {\"directory\", \"entries\":[{\"name\", \"state\", \"layers\", "
	     "\"paths\", \"bytes\",\n"
	     "                 \"used\" (seconds since 1970), \"layer\"}]}; for clear "
	     "{\"directory\", \"removed\"}\n"
	     "  -o OPTIONS     timeout=SECONDS of urunc-viewfs(8)\n"
	     "  -h, --help     this text\n"
	     "  -V, --version  the version, and what this build and this kernel can do\n"
	     "\n"
	     "Exit status: 0, 1 usage, 2 system, 32 verify found useless entries.");
}

/* An index, and the action on it. */
struct job {
	const char *directory;
	struct index_entries entries;
	bool useless; /* show only useless entries */
	bool json;
	int (*run)(struct job *job, struct view_error *error);
};

static bool is_shown(const struct job *job, const struct li_index_entry *entry)
{
	return !job->useless || index_entry_is_useless(entry);
}

/* Owned, or NULL without memory. */
static struct json_object *index_describe(const struct li_index_entry *entry)
{
	cleanup_with(json_done) struct json_object *object = json_object_new_object();
	const char *state = index_state_name(entry->state);

	if (!object || json_add(object, "name", json_object_new_string(entry->name)) < 0 ||
	    json_add(object, "state", json_object_new_string(state)) < 0 ||
	    json_add(object, "layers", json_object_new_uint64(entry->layers)) < 0 ||
	    json_add(object, "paths", json_object_new_uint64(entry->paths)) < 0 ||
	    json_add(object, "bytes", json_object_new_uint64(entry->bytes)) < 0 ||
	    json_add(object, "used", json_object_new_int64(entry->used.tv_sec)) < 0 ||
	    json_add(object, "layer", json_printable(entry->layer)) < 0)
		return NULL;
	return TAKE_PTR(object);
}

static int index_print_json(const struct job *job)
{
	cleanup_with(json_done) struct json_object *object = json_object_new_object();
	struct json_object *list = json_object_new_array();

	if (!object || json_add(object, "entries", list) < 0 ||
	    json_add(object, "directory", json_printable(job->directory)) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < job->entries.count; i++)
		if (is_shown(job, &job->entries.items[i]) &&
		    json_append(list, index_describe(&job->entries.items[i])) < 0)
			return -ENOMEM;
	json_print(object);
	return 0;
}

static enum colour index_state_colour(enum li_entry_state state)
{
	static const enum colour colours[] = {
		[LI_ENTRY_CURRENT] = GREEN,
		[LI_ENTRY_STALE] = YELLOW,
		[LI_ENTRY_DAMAGED] = RED,
		[LI_ENTRY_TEMPORARY] = YELLOW,
	};

	return colours[state];
}

static int index_add_row(struct table *table, const struct li_index_entry *entry)
{
	bool known = entry->layers > 0;
	char used[32];

	table_time(entry->used.tv_sec, used);
	if (table_add(table, PLAIN, "%.*s", NAME_SHOWN, entry->name) < 0 ||
	    table_add(table, index_state_colour(entry->state), "%s",
		      index_state_name(entry->state)) < 0 ||
	    table_add(table, PLAIN, known ? "%zu" : "-", entry->layers) < 0 ||
	    table_add(table, PLAIN, known ? "%zu" : "-", entry->paths) < 0 ||
	    table_add(table, PLAIN, "%" PRIu64 " kB", entry->bytes / 1024) < 0 ||
	    table_add(table, PLAIN, "%s", used) < 0 ||
	    table_add_name(table, PLAIN, known ? entry->layer : "-") < 0)
		return -ENOMEM;
	return 0;
}

static int index_print_table(const struct job *job)
{
	static const struct column columns[] = {
		{"NAME", false}, {"STATE", false},     {"LAYERS", true},	 {"PATHS", true},
		{"SIZE", true},	 {"LAST USED", false}, {"TOPMOST LAYER", false},
	};
	cleanup_with(table_done) struct table table = TABLE_OF(columns);

	for (size_t i = 0; i < job->entries.count; i++)
		if (is_shown(job, &job->entries.items[i]) &&
		    index_add_row(&table, &job->entries.items[i]) < 0)
			return -ENOMEM;
	if (table.count > 0)
		table_print(&table);
	return 0;
}

/* "1 entry" */
static void print_count(size_t n)
{
	printf("%zu %s", n, n == 1 ? "entry" : "entries");
}

static int list(struct job *job, struct view_error *error)
{
	if ((job->json ? index_print_json(job) : index_print_table(job)) < 0)
		return view_fail(error, MSG_NO_MEMORY);
	if (job->json)
		return 0;
	print_count(job->entries.count);
	printf(", %" PRIu64 " kB of at most %d kB\n", job->entries.bytes / 1024,
	       LI_INDEX_BYTES_MAX / 1024);
	return 0;
}

static int verify(struct job *job, struct view_error *error)
{
	size_t useless = 0;

	job->useless = true;
	if ((job->json ? index_print_json(job) : index_print_table(job)) < 0)
		return view_fail(error, MSG_NO_MEMORY);
	for (size_t i = 0; i < job->entries.count; i++)
		useless += index_entry_is_useless(&job->entries.items[i]);
	if (!job->json) {
		print_count(job->entries.count);
		printf(", %zu useless\n", useless);
	}
	return useless > 0 ? STATUS_NOT_WELL : 0;
}

static int print_removed(const struct job *job, size_t removed)
{
	cleanup_with(json_done) struct json_object *object = NULL;

	if (!job->json) {
		printf("removed ");
		print_count(removed);
		putchar('\n');
		return 0;
	}
	object = json_object_new_object();
	if (!object || json_add(object, "directory", json_printable(job->directory)) < 0 ||
	    json_add(object, "removed", json_object_new_uint64(removed)) < 0)
		return -ENOMEM;
	json_print(object);
	return 0;
}

static int clear(struct job *job, struct view_error *error)
{
	size_t removed = 0;

	if (index_entries_remove(job->directory, &removed, error) < 0)
		return -ECANCELED;
	if (print_removed(job, removed) < 0)
		view_fail(error, MSG_NO_MEMORY);
	return error->code == CODE_NONE ? 0 : -ECANCELED;
}

static const struct {
	const char *name;
	int (*run)(struct job *job, struct view_error *error);
} actions[] = {{"list", list}, {"verify", verify}, {"clear", clear}};

/* Reads the index, whose layers may not answer, and acts. Returns: as index_run(). */
static int job_run(void *argument, struct view_error *error)
{
	struct job *job = argument;
	int r = job->run == clear ? 0 : index_entries_read(job->directory, &job->entries, error);

	if (r == 0)
		r = job->run(job, error);
	index_entries_done(&job->entries);
	return r;
}

/* Returns: the exit status, or < 0 with *error*. */
static int index_run(const struct ctl_call *call, struct view_error *error)
{
	cleanup_free char *default_directory = index_default_directory();
	const char *action = call->operands[0], *directory = call->operands[1];
	struct nearest nearest = nearest_to(action, strlen(action));
	const struct time_limit limit = {now_us(), call->options.timeout};
	bool printed;

	if (directory && call->operands[2])
		return view_fail(error, MSG_TOO_MANY, call->operands[2]);
	if (directory && !*directory)
		return view_fail(error, MSG_EMPTY, "DIR");
	if (!directory && !default_directory)
		return view_fail(error, MSG_NO_OPERAND, "without $XDG_RUNTIME_DIR, DIR");
	for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++) {
		struct job job = {
			.directory = directory ? directory : default_directory,
			.json = call->json,
			.run = actions[i].run,
		};

		nearest_offer(&nearest, actions[i].name);
		if (strcmp(action, actions[i].name) == 0)
			return ctl_run_timed(job_run, &job, NULL, 0, &limit, &printed, error);
	}
	return ctl_refuse(&nearest, error);
}

const struct ctl_command ctl_index = {
	.name = "index",
	.summary = "the layer index: list, verify or clear it",
	.print_help = index_print_help,
	.run = index_run,
	.json = true,
	.options = true,
	.operands = "list, verify or clear",
	.capabilities = CTL_READ_FILES,
};
