/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ctl/list-row.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/sysmacros.h>

#include "fuse/base/io.h"
#include "fuse/base/json.h"
#include "fuse/base/messages.h"
#include "fuse/base/text.h"
#include "fuse/base/words.h"
#include "fuse/process/sandbox.h"

enum { ID_SHOWN = 12 }; /* digits of a long id on a terminal, as docker(1) shows */

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

static struct json_object *typed_member(struct json_object *object, const char *key, json_type type)
{
	struct json_object *value = json_object_object_get(object, key);

	return json_object_is_type(value, type) ? value : NULL;
}

struct list_row list_row(const struct listed_view *view, bool memory)
{
	struct json_object *ready = view->answer.ready;
	struct json_object *passthrough = typed_member(ready, "passthrough", json_type_boolean);
	struct json_object *image = typed_member(ready, "image", json_type_object);
	struct json_object *layers = typed_member(image, "layers", json_type_int);
	struct list_row row = {
		.view = view,
		.mountpoint = view->entry.mountpoint,
		.id = json_string(ready, "id"),
		.image = image,
		.artifacts = typed_member(ready, "artifacts", json_type_array),
		.missing = typed_member(ready, "missing", json_type_array),
		.layers = json_object_get_uint64(layers),
		.detached = json_object_get_boolean(json_object_object_get(ready, "detached")),
		.survives = json_object_get_boolean(json_object_object_get(ready, "survives")),
	};

	if (passthrough)
		row.passthrough =
			json_object_get_boolean(passthrough) ? PASSTHROUGH_YES : PASSTHROUGH_NO;
	/* Of a view that is mounted nowhere here, where it says that it is. */
	if (!view->mounted)
		row.mountpoint = json_string(ready, "mountpoint");
	if (memory && view->pid)
		read_private_dirty(view->pid, &row.private_dirty);
	return row;
}

/* Cells */

struct cell_call {
	struct table *table;
	const struct list_row *row;
	bool terminal;
};

static bool is_long_id(const char *id)
{
	return strspn(id, "0123456789abcdef") == 64 && !id[64];
}

/* A path that ends in the id: on a terminal that is shown once. */
static bool ends_in_id(const char *mountpoint, const char *id)
{
	const char *name = strrchr(mountpoint, '/');

	return id && name && *id && strcmp(name + 1, id) == 0;
}

static int add_mountpoint(const struct cell_call *call)
{
	const struct list_row *row = call->row;

	if (!row->mountpoint)
		return table_add(call->table, PLAIN, "-");
	if (!row->view->mounted)
		return table_add(call->table, PLAIN, "%s", row->mountpoint);
	if (call->terminal && ends_in_id(row->mountpoint, row->id)) {
		cleanup_free char *shown = name_printable(row->mountpoint);

		return !shown ? -ENOMEM
			      : table_add(call->table, PLAIN, "%.*s\u2026",
					  (int)(strlen(shown) - strlen(row->id)), shown);
	}
	return table_add_name(call->table, PLAIN, row->mountpoint);
}

static int add_id(const struct cell_call *call)
{
	const char *id = call->row->id;

	if (id && call->terminal && is_long_id(id))
		return table_add(call->table, PLAIN, "%.*s", ID_SHOWN, id);
	return table_add(call->table, PLAIN, "%s", id ? id : "-");
}

/* A number, or "-" where it is 0 and so not known. */
static int add_number(const struct cell_call *call, uint64_t number, const char *unit)
{
	if (number == 0)
		return table_add(call->table, PLAIN, "-");
	return table_add(call->table, PLAIN, "%" PRIu64 "%s", number, unit);
}

static int add_pid(const struct cell_call *call)
{
	return add_number(call, (uint64_t)call->row->view->pid, "");
}

static int add_state(const struct cell_call *call)
{
	static const enum colour colours[] = {
		[VIEW_ALIVE] = GREEN,
		[VIEW_NOT_ANSWERING] = YELLOW,
		[VIEW_DEAD] = RED,
		[VIEW_UNKNOWN] = YELLOW,
	};
	const struct listed_view *view = call->row->view;

	return table_add(call->table, view->mounted ? colours[view->state] : YELLOW, "%s%s",
			 view_state_name(view->state), view->mounted ? "" : ", unverified");
}

static int add_passthrough(const struct cell_call *call)
{
	static const char *const words[] = {"-", "no", "yes"};

	return table_add(call->table, PLAIN, "%s", words[call->row->passthrough]);
}

/* The number of the layers, or that the image is a stored one. */
static int add_layers(const struct cell_call *call)
{
	if (call->row->image && call->row->layers == 0)
		return table_add(call->table, PLAIN, "stored");
	return add_number(call, call->row->layers, "");
}

static int add_memory(const struct cell_call *call)
{
	return add_number(call, call->row->private_dirty / 1024, " kB");
}

/* How much of the sandbox is in force. */
static int add_sandbox(const struct cell_call *call)
{
	const struct listed_view *view = call->row->view;

	if (!view->answer.ready || !view->mounted)
		return table_add(call->table, PLAIN, "-");
	if (!view->answer.sandboxed)
		return table_add(call->table, PLAIN, "not yet");
	if (view->answer.sandboxed == SANDBOX_ALL)
		return table_add(call->table, GREEN, "full");
	return table_add(call->table, YELLOW, "partial");
}

static int add_survives(const struct cell_call *call)
{
	if (!call->row->view->answer.ready)
		return table_add(call->table, PLAIN, "-");
	return table_add(call->table, PLAIN, "%s", call->row->survives ? "yes" : "no");
}

static int add_generation(const struct cell_call *call)
{
	return add_number(call, call->row->view->answer.generation, "");
}

/* Paths with spaces between them, of an array of strings or of objects with a path. */
static int add_paths(const struct cell_call *call, struct json_object *array, enum colour colour)
{
	size_t n = array ? json_object_array_length(array) : 0;
	cleanup_free char *joined = strdup(n ? "" : "-");

	for (size_t i = 0; joined && i < n; i++) {
		struct json_object *item = json_object_array_get_idx(array, i);
		const char *path = json_text(item);
		char *longer = NULL;

		path = path ? path : json_string(item, "path");
		if (asprintf(&longer, "%s%s%s", joined, i > 0 ? " " : "", path) < 0)
			return -ENOMEM;
		free(joined);
		joined = longer;
	}
	return joined ? table_add(call->table, n ? colour : PLAIN, "%s", joined) : -ENOMEM;
}

static int add_missing(const struct cell_call *call)
{
	return add_paths(call, call->row->missing, RED);
}

static int add_artifacts(const struct cell_call *call)
{
	return add_paths(call, call->row->artifacts, PLAIN);
}

static int add_label(const struct cell_call *call)
{
	const char *source = call->row->view->entry.source;

	return table_add_name(call->table, PLAIN, source ? source : "-");
}

static int add_root(const struct cell_call *call)
{
	const char *root = call->row->view->entry.root;

	return table_add_name(call->table, PLAIN, root ? root : "-");
}

static void format_device(dev_t device, char ret[static 32])
{
	snprintf(ret, 32, device ? "%u:%u" : "-", major(device), minor(device));
}

static int add_device(const struct cell_call *call)
{
	char device[32];

	format_device(call->row->view->entry.device, device);
	return table_add(call->table, PLAIN, "%s", device);
}

static int add_owner(const struct cell_call *call)
{
	const struct listed_view *view = call->row->view;

	if (!view->mounted)
		return table_add(call->table, PLAIN, "-");
	return table_add(call->table, PLAIN, "%u", view->owner);
}

static int add_version(const struct cell_call *call)
{
	const char *version = call->row->view->answer.version;

	return table_add(call->table, PLAIN, "%s", *version ? version : "-");
}

/* Columns */

static const struct {
	const char *name;
	int (*add)(const struct cell_call *call);
	bool right;	/* numbers */
	bool is_chosen; /* without -o */
	bool memory;
} known[] = {
	{"MOUNTPOINT", add_mountpoint, .is_chosen = true},
	{"ID", add_id, .is_chosen = true},
	{"PID", add_pid, .right = true, .is_chosen = true},
	{"STATE", add_state, .is_chosen = true},
	{"PASSTHROUGH", add_passthrough, .is_chosen = true},
	{"LAYERS", add_layers, .right = true, .is_chosen = true},
	{"MEMORY", add_memory, .right = true, .is_chosen = true, .memory = true},
	{"SANDBOX", add_sandbox, .is_chosen = true},
	{"SURVIVES", add_survives, .is_chosen = true},
	{"MISSING", add_missing, .is_chosen = true},
	{"ARTIFACTS", add_artifacts, .is_chosen = true},
	{"LABEL", add_label, .right = false},
	{"ROOT", add_root, .right = false},
	{"DEVICE", add_device, .right = false},
	{"OWNER", add_owner, .right = true},
	{"VERSION", add_version, .right = false},
	{"GENERATION", add_generation, .right = true},
};

enum { KNOWN = sizeof(known) / sizeof(*known) };

static void choose(struct list_columns *columns, size_t number)
{
	columns->titles[columns->count] = (struct column){known[number].name, known[number].right};
	columns->numbers[columns->count++] = number;
	columns->memory |= known[number].memory;
}

void list_columns_default(struct list_columns *ret)
{
	*ret = (struct list_columns){};
	for (size_t i = 0; i < KNOWN; i++)
		if (known[i].is_chosen)
			choose(ret, i);
}

static int refuse_column(const char *name, size_t length, struct view_error *error)
{
	cleanup_free char *typed = strndup(name, length);
	struct nearest nearest = nearest_to(name, length);

	if (!typed)
		return view_fail(error, MSG_NO_MEMORY);
	for (size_t i = 0; i < KNOWN; i++)
		nearest_offer(&nearest, known[i].name);
	if (*nearest.word)
		return view_fail(error, MSG_COLUMN_NEAR, typed, nearest.word);
	return view_fail(error, MSG_COLUMN, typed);
}

int list_columns_parse(const char *names, struct list_columns *ret, struct view_error *error)
{
	*ret = (struct list_columns){};
	for (;; names++) {
		size_t length = strcspn(names, ","), i = 0;

		while (i < KNOWN && (strlen(known[i].name) != length ||
				     strncasecmp(known[i].name, names, length) != 0))
			i++;
		if (i == KNOWN)
			return refuse_column(names, length, error);
		if (ret->count == LIST_COLUMNS_MAX)
			return view_fail(error, MSG_COLUMNS_MANY, LIST_COLUMNS_MAX);
		choose(ret, i);
		names += length;
		if (!*names)
			return 0;
	}
}

void list_columns_help(void)
{
	for (size_t i = 0; i < KNOWN; i++)
		printf("%s%s%s", i % 8 == 0 ? "                 " : " ", known[i].name,
		       i + 1 == KNOWN || i % 8 == 7 ? "\n" : ",");
}

int list_row_add(struct table *table, const struct list_columns *columns,
		 const struct list_row *row, bool terminal)
{
	const struct cell_call call = {.table = table, .row = row, .terminal = terminal};

	for (size_t i = 0; i < columns->count; i++)
		if (known[columns->numbers[i]].add(&call) < 0)
			return -ENOMEM;
	return 0;
}

/* JSON */

/* Adds a value, or null for NULL. */
static int add_or_null(struct json_object *object, const char *key, struct json_object *value)
{
	if (value)
		return json_add(object, key, value);
	return json_object_object_add(object, key, NULL) < 0 ? -ENOMEM : 0;
}

/* A name of the mount table. */
static int add_table_name(struct json_object *object, const char *key, const char *name)
{
	return name ? json_add(object, key, json_printable(name)) : add_or_null(object, key, NULL);
}

/* A text that can be shown; "" is not known. */
static int add_text(struct json_object *object, const char *key, const char *text)
{
	return text && *text ? json_add(object, key, json_object_new_string(text))
			     : add_or_null(object, key, NULL);
}

/* 0 is not known. */
static int add_count(struct json_object *object, const char *key, uint64_t number)
{
	return number ? json_add(object, key, json_object_new_uint64(number))
		      : add_or_null(object, key, NULL);
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

/* The paths that the view lacks; not known as long as it has not looked for all. */
static struct json_object *describe_missing(const struct list_row *row)
{
	if (row->missing)
		return json_object_get(row->missing);
	return row->artifacts ? json_object_new_array() : NULL;
}

/* Where the view stands, and what it is by the mount table. */
static int add_place(struct json_object *object, const struct list_row *row)
{
	const struct listed_view *view = row->view;
	char device[32];
	int r;

	format_device(view->entry.device, device);
	/* What it says itself can be shown as it is. */
	r = view->mounted ? add_table_name(object, "mountpoint", row->mountpoint)
			  : add_text(object, "mountpoint", row->mountpoint);
	if (r < 0 || add_table_name(object, "root", view->entry.root) < 0 ||
	    add_table_name(object, "label", view->entry.source) < 0 ||
	    add_text(object, "device", view->entry.device ? device : NULL) < 0)
		return -ENOMEM;
	return add_text(object, "state", view_state_name(view->state));
}

struct json_object *list_row_json(const struct list_row *row)
{
	cleanup_with(json_done) struct json_object *object = json_object_new_object();
	const struct listed_view *view = row->view;
	bool sandboxed = view->mounted && view->answer.sandboxed;
	bool passthrough = row->passthrough != PASSTHROUGH_UNKNOWN;

	if (!object || add_place(object, row) < 0 ||
	    add_or_null(object, "detached",
			view->answer.ready ? json_object_new_boolean(row->detached) : NULL) < 0 ||
	    add_count(object, "pid", (uint64_t)view->pid) < 0 ||
	    add_text(object, "id", row->id) < 0 ||
	    add_or_null(object, "passthrough",
			passthrough ? json_object_new_boolean(row->passthrough == PASSTHROUGH_YES)
				    : NULL) < 0 ||
	    add_count(object, "layers", row->layers) < 0 ||
	    add_or_null(object, "image", json_object_get(row->image)) < 0 ||
	    add_or_null(object, "artifacts", json_object_get(row->artifacts)) < 0 ||
	    add_or_null(object, "missing", describe_missing(row)) < 0 ||
	    add_count(object, "private_dirty", row->private_dirty) < 0 ||
	    add_or_null(object, "sandbox",
			sandboxed ? describe_sandbox(view->answer.sandboxed) : NULL) < 0 ||
	    add_or_null(object, "survives",
			view->answer.ready ? json_object_new_boolean(row->survives) : NULL) < 0 ||
	    add_count(object, "generation", view->answer.generation) < 0 ||
	    add_text(object, "version", view->answer.version) < 0 ||
	    add_or_null(object, "owner",
			view->mounted ? json_object_new_int64(view->owner) : NULL) < 0 ||
	    json_add(object, "verified", json_object_new_boolean(view->mounted)) < 0)
		return NULL;
	return TAKE_PTR(object);
}
