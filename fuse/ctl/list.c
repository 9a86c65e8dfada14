/* SPDX-License-Identifier: Apache-2.0 */
/* viewfsctl list: the views of this mount namespace. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "fuse/base/io.h"
#include "fuse/base/json.h"
#include "fuse/base/messages.h"
#include "fuse/ctl/ctl.h"
#include "fuse/ctl/table.h"
#include "fuse/live/views.h"
#include "fuse/process/sandbox.h"

static void list_print_help(void)
{
	puts("Usage: viewfsctl list [--json]\n"
	     "\n"
	     "Lists the views that are mounted here, dead ones too. A view's STATE is alive;\n"
	     "stopped, if its process is stopped; dead, if its process is gone: remove it with\n"
	     "'viewfsctl gc'; or unknown, if its process is not visible from here and the view\n"
	     "does not answer. MEMORY is the private, written memory of the view's process.\n"
	     "ARTIFACTS are their paths; missing:PATH is a path that the view lacks.\n"
	     "SANDBOX is full, partial (--json names the measures in force), or not yet, during\n"
	     "the moment after the mount.\n"
	     "\n"
	     "      --json     one JSON object; an unknown value is null:\n"
	     "                 {\"views\":[{\"mountpoint\", \"root\" (the part of the view that\n"
	     "                 stands there, \"/\" for all), \"label\", \"device\", \"state\", "
	     "\"pid\",\n"
	     "                 \"id\", \"passthrough\", \"layers\" (their number), \"image\", "
	     "\"artifacts\"\n"
	     "                 (objects as in the ready line), \"missing\" (paths of artifacts "
	     "that\n"
	     "                 the view lacks), \"private_dirty\" (bytes),\n"
	     "                 \"sandbox\" (the measures in force)}]}\n"
	     "  -h, --help     this text\n"
	     "  -V, --version  the version, and what this build and this kernel can do\n"
	     "\n"
	     "Exit status: 0, 1 usage, 2 system.");
}

/* Bytes that a process has written and does not share. Returns: 0, or -errno. */
static int read_private_dirty(pid_t pid, uint64_t *ret)
{
	static const char key[] = "\nPrivate_Dirty:";
	cleanup_close int fd = -EBADF;
	cleanup_free char *text = NULL;
	char path[64];
	const char *line;
	size_t n;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = read_all(fd, 1 << 16, &text, &n);
	if (r < 0)
		return r;
	line = strstr(text, key);
	if (!line)
		return -ENOENT;
	*ret = strtoull(line + sizeof(key) - 1, NULL, 10) * 1024;
	return 0;
}

/* What is told of a view, as far as it is known; everything is borrowed but the memory's number. */
struct row {
	const struct view_mount *mount;
	const char *id;			 /* NULL: none */
	struct json_object *passthrough; /* a boolean, or NULL */
	struct json_object *image;	 /* an object, or NULL */
	struct json_object *artifacts;	 /* an array, or NULL */
	struct json_object *missing;	 /* an array of paths, or NULL: none */
	uint64_t private_dirty;		 /* 0: not known */
};

static struct json_object *typed_member(struct json_object *object, const char *key, json_type type)
{
	struct json_object *value = json_object_object_get(object, key);

	return json_object_is_type(value, type) ? value : NULL;
}

static struct row make_row(const struct view_mount *mount)
{
	const struct view_process *process = mount->process;
	struct row row = {.mount = mount};

	/* A stranger's memory is not looked at: see processes.h. */
	if (process && process->trusted)
		read_private_dirty(process->pid, &row.private_dirty);
	if (!process || !process->titled)
		return row;
	row.id = json_string(process->ready, "id");
	row.passthrough = typed_member(process->ready, "passthrough", json_type_boolean);
	row.image = typed_member(process->ready, "image", json_type_object);
	row.artifacts = typed_member(process->ready, "artifacts", json_type_array);
	row.missing = typed_member(process->ready, "missing", json_type_array);
	return row;
}

static enum colour list_state_colour(enum mount_state state)
{
	static const enum colour colours[] = {
		[MOUNT_ALIVE] = GREEN,
		[MOUNT_STOPPED] = YELLOW,
		[MOUNT_DEAD] = RED,
		[MOUNT_UNKNOWN] = YELLOW,
	};

	return colours[state];
}

/* Appends " PATH" to *text*, which is owned. Returns: -ENOMEM: *text* is as it was. */
static int append_path(char **text, const char *prefix, const char *path)
{
	char *longer;

	if (asprintf(&longer, "%s%s%s%s", *text, **text ? " " : "", prefix, path) < 0)
		return -ENOMEM;
	free(*text);
	*text = longer;
	return 0;
}

/*
 * The paths in the view, and those that are missing in it, with spaces between them; owned, or NULL
 * without memory.
 */
static char *join_paths(const struct row *row)
{
	size_t n = row->artifacts ? json_object_array_length(row->artifacts) : 0;
	size_t missing = row->missing ? json_object_array_length(row->missing) : 0;
	cleanup_free char *joined = strdup(row->artifacts ? "" : "-");

	if (!joined)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		struct json_object *artifact = json_object_array_get_idx(row->artifacts, i);
		const char *path = json_string(artifact, "path");

		if (path && append_path(&joined, "", path) < 0)
			return NULL;
	}
	for (size_t i = 0; i < missing; i++) {
		const char *path = json_text(json_object_array_get_idx(row->missing, i));

		if (path && append_path(&joined, "missing:", path) < 0)
			return NULL;
	}
	return TAKE_PTR(joined);
}

/* A number, or "-" where it is 0 and so not known. */
static int add_number(struct table *table, uint64_t number, const char *unit)
{
	if (number == 0)
		return table_add(table, PLAIN, "-");
	return table_add(table, PLAIN, "%" PRIu64 "%s", number, unit);
}

/* The number of the layers, or that the image is a stored one. */
static int add_layers(struct table *table, const struct row *row)
{
	const struct view_process *process = row->mount->process;

	if (row->image && json_string(row->image, "chain"))
		return table_add(table, PLAIN, "stored");
	return add_number(table, process && process->titled ? process->title.layers : 0, "");
}

/* Whether it has come to rest: some of the measures can always be taken. */
static bool is_sandboxed(const struct view_process *process)
{
	return process && process->titled && process->title.sandboxed;
}

/* How much of the sandbox is in force, by the view's own word. */
static int add_sandbox(struct table *table, const struct view_process *process)
{
	if (!process || !process->titled)
		return table_add(table, PLAIN, "-");
	if (!is_sandboxed(process))
		return table_add(table, PLAIN, "not yet");
	if (process->title.sandboxed == SANDBOX_ALL)
		return table_add(table, GREEN, "full");
	return table_add(table, YELLOW, "partial");
}

static int list_add_row(struct table *table, const struct row *row)
{
	const struct view_mount *mount = row->mount;
	const struct view_process *process = mount->process;
	cleanup_free char *paths = join_paths(row);
	const char *passthrough = "-";

	if (row->passthrough)
		passthrough = json_object_get_boolean(row->passthrough) ? "yes" : "no";
	if (!paths || table_add(table, PLAIN, "%s", mount->entry.mountpoint) < 0 ||
	    table_add(table, PLAIN, "%s", row->id ? row->id : "-") < 0 ||
	    add_number(table, process ? (uint64_t)process->pid : 0, "") < 0 ||
	    table_add(table, list_state_colour(mount->state), "%s",
		      mount_state_name(mount->state)) < 0 ||
	    table_add(table, PLAIN, "%s", passthrough) < 0 || add_layers(table, row) < 0 ||
	    add_number(table, row->private_dirty / 1024, " kB") < 0 ||
	    add_sandbox(table, process) < 0 ||
	    table_add(table, row->missing ? RED : PLAIN, "%s", paths) < 0)
		return -ENOMEM;
	return 0;
}

static int list_print_table(const struct views *views)
{
	static const struct column columns[] = {
		{"MOUNTPOINT", false}, {"ID", false},	       {"PID", true},
		{"STATE", false},      {"PASSTHROUGH", false}, {"LAYERS", true},
		{"MEMORY", true},      {"SANDBOX", false},     {"ARTIFACTS", false},
	};
	cleanup_with(table_done) struct table table = TABLE_OF(columns);

	for (size_t i = 0; i < views->count; i++) {
		struct row row = make_row(&views->items[i]);

		if (list_add_row(&table, &row) < 0)
			return -ENOMEM;
	}
	table_print(&table);
	return 0;
}

/* Adds *value*, or null if it is NULL. */
static int add_known(struct json_object *object, const char *key, bool known,
		     struct json_object *value)
{
	if (known)
		return json_add(object, key, value);
	return json_object_object_add(object, key, NULL) < 0 ? -ENOMEM : 0;
}

/* The names of the measures in force; owned, or NULL without memory. */
static struct json_object *describe_sandbox(unsigned sandboxed)
{
	cleanup_with(json_done) struct json_object *names = json_object_new_array();

	for (int i = 0; i < SANDBOX_COUNT; i++)
		if (names && sandboxed & 1U << i &&
		    json_append(names, json_object_new_string(sandbox_names[i])) < 0)
			return NULL;
	return TAKE_PTR(names);
}

/* The paths that the view names and does not have; owned, or NULL without memory. */
static struct json_object *describe_missing(const struct row *row)
{
	return row->missing ? json_object_get(row->missing) : json_object_new_array();
}

/* Owned, or NULL without memory. */
static struct json_object *list_describe(const struct row *row)
{
	cleanup_with(json_done) struct json_object *object = json_object_new_object();
	const struct view_mount *mount = row->mount;
	const struct view_process *process = mount->process;
	bool titled = process && process->titled;
	char device[32];

	snprintf(device, sizeof(device), "%u:%u", major(mount->entry.device),
		 minor(mount->entry.device));
	if (!object ||
	    json_add(object, "mountpoint", json_printable(mount->entry.mountpoint)) < 0 ||
	    json_add(object, "root", json_printable(mount->entry.root)) < 0 ||
	    json_add(object, "label", json_printable(mount->entry.source)) < 0 ||
	    json_add(object, "device", json_object_new_string(device)) < 0 ||
	    json_add(object, "state", json_object_new_string(mount_state_name(mount->state))) < 0 ||
	    add_known(object, "pid", process, process ? json_object_new_int(process->pid) : NULL) <
		    0 ||
	    add_known(object, "id", row->id, row->id ? json_object_new_string(row->id) : NULL) <
		    0 ||
	    add_known(object, "passthrough", row->passthrough, json_object_get(row->passthrough)) <
		    0 ||
	    add_known(object, "layers", titled && process->title.layers,
		      titled && process->title.layers
			      ? json_object_new_uint64(process->title.layers)
			      : NULL) < 0 ||
	    add_known(object, "image", row->image, json_object_get(row->image)) < 0 ||
	    add_known(object, "artifacts", row->artifacts, json_object_get(row->artifacts)) < 0 ||
	    add_known(object, "missing", row->artifacts,
		      row->artifacts ? describe_missing(row) : NULL) < 0 ||
	    add_known(object, "private_dirty", row->private_dirty,
		      row->private_dirty ? json_object_new_uint64(row->private_dirty) : NULL) < 0 ||
	    add_known(object, "sandbox", is_sandboxed(process),
		      is_sandboxed(process) ? describe_sandbox(process->title.sandboxed) : NULL) <
		    0)
		return NULL;
	return TAKE_PTR(object);
}

static int list_print_json(const struct views *views)
{
	cleanup_with(json_done) struct json_object *object = json_object_new_object();
	struct json_object *list = json_object_new_array();

	if (!object || json_add(object, "views", list) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < views->count; i++) {
		struct row row = make_row(&views->items[i]);

		if (json_append(list, list_describe(&row)) < 0)
			return -ENOMEM;
	}
	json_print(object);
	return 0;
}

static int list_run(const struct ctl_call *call, struct view_error *error)
{
	cleanup_with(views_done) struct views views = {};
	int r = views_read(&views);

	if (r == 0)
		r = call->json ? list_print_json(&views) : list_print_table(&views);
	return r < 0 ? view_fail(error, MSG_SYSTEM, "list", strerror(-r)) : 0;
}

const struct ctl_command ctl_list = {
	.name = "list",
	.summary = "the views that are mounted here, dead or alive",
	.print_help = list_print_help,
	.run = list_run,
	.json = true,
};
