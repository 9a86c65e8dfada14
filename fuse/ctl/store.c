/* SPDX-License-Identifier: Apache-2.0 */
/* viewfsctl store: the artifact store, urunc-viewfs-store(5). */
#include "fuse/ctl/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/clock.h"
#include "fuse/base/json.h"
#include "fuse/base/messages.h"
#include "fuse/cli/output.h"
#include "fuse/ctl/table.h"
#include "fuse/ctl/timed.h"
#include "fuse/source/image.h"

enum {
	STATUS_NOT_WELL = 32,
	DIGITS_SHOWN = 12, /* of a digest: enough to tell some thousands apart */
};

void store_print_help(void)
{
	output_hold();
	puts("Usage: viewfsctl store add --chain=sha256:HEX --tree=DIR [options]\n"
	     "       viewfsctl store add --oci=LAYOUT[:REF] [options]\n"
	     "       viewfsctl store add --content=STORE --manifest=sha256:HEX [options]\n"
	     "       viewfsctl store list|verify|clear [--json] [--repair] [-o OPTIONS]\n"
	     "\n"
	     "Fills, lists, verifies or clears the artifact store, for urunc-viewfs --chain.\n"
	     "A missing store is not an error.\n"
	     "\n"
	     "  add             add an image: the artifacts that a view of it would show, or that\n"
	     "                  there are none\n"
	     "  list            the images and objects. An object is in use while any process has\n"
	     "                  it open. STATE is current; damaged, which includes images whose\n"
	     "                  objects are missing; or temporary, if the file is being written "
	     "or\n"
	     "                  its writer died\n"
	     "  verify          read and hash each object, and list files that are not current\n"
	     "  clear           remove all images and objects; views keep their open files\n"
	     "\n"
	     "      --chain=DIGEST  add: the image's chain id\n"
	     "      --tree=DIR      add: the unpacked image: the root of a read-only mount, such "
	     "as\n"
	     "                      a snapshotter's View of the chain. The caller must ensure "
	     "that\n"
	     "                      it is the unpacked chain\n"
	     "      --oci=LAYOUT    add: the image in an OCI layout; LAYOUT:REF names one of "
	     "several\n"
	     "      --content=STORE add: the image in containerd's content store\n"
	     "      --manifest=DIGEST  add: its manifest, or an index, for --content\n"
	     "      --bundle=DIR    add: an OCI bundle whose annotations count\n"
	     "      --repair        verify: remove damaged files\n"
	     "  -o OPTIONS          mount options, separated by commas (see below); list, verify "
	     "and\n"
	     "                      clear heed store=DIR and timeout=\n"
	     "      --json          add: JSON lines: {\"progress\"} after a second, and last the\n"
	     "                      result; list, "
	     "verify:\n"
	     "                      {\"directory\", \"entries\":[{\"name\", \"state\", \"bytes\",\n"
	     "                      \"object\" (whether it is one), \"used\" (an image: seconds "
	     "since\n"
	     "                      1970), \"answers\" (an image), \"in_use\" (an object)}]}; "
	     "clear:\n"
	     "                      {\"directory\", \"removed\"}\n"
	     "      --syslog        add: errors to the system log in place of standard error\n"
	     "  -h, --help          this text\n"
	     "  -V, --version       the version, and what this build and this kernel can do\n");
	options_help();
	puts("\nExit status: 0, 1 usage, 2 system, 32 a view of the image could not boot, or "
	     "verify\n"
	     "found files that are not current.");
}

int store_open_named(const struct options *options, char **ret_directory, struct li_store **ret,
		     struct view_error *error)
{
	char *directory = store_directory_path(options->store);
	int r;

	*ret = NULL;
	*ret_directory = directory;
	if (!directory)
		return view_fail(error, MSG_NO_STORE_DIRECTORY);
	r = li_store_open(directory, false, ret);
	if (r == -EPERM)
		return view_fail(error, MSG_STORE_UNSAFE, directory);
	return r < 0 && r != -ENOENT ? view_fail(error, MSG_STORE, directory, strerror(-r)) : 0;
}

/* A store, what is looked at, and what was found. */
struct job {
	const struct ctl_call *call;
	const char *directory;
	const struct li_store *store; /* NULL: there is none */
	bool hidden_current;	      /* show only what is not current */
	struct table table;
	struct json_object *entries; /* instead of the table; owned, or NULL */
	size_t chains, manifests, objects, layers, faults;
	uint64_t bytes;
	bool no_memory;
};

static const char *entry_state_name(enum li_store_state state)
{
	static const char *const names[] = {
		[LI_STORE_CURRENT] = "current",
		[LI_STORE_DAMAGED] = "damaged",
		[LI_STORE_TEMPORARY] = "temporary",
	};

	return names[state];
}

static enum colour entry_state_colour(enum li_store_state state)
{
	return state == LI_STORE_CURRENT ? GREEN : state == LI_STORE_DAMAGED ? RED : YELLOW;
}

/* The answers of an image; owned, or NULL without memory. */
static struct json_object *facts_describe(const struct li_store_facts *facts)
{
	cleanup_with(json_done) struct json_object *answers = json_object_new_array();

	for (size_t i = 0; answers && i < facts->count; i++)
		if (json_append(answers, store_describe_answer(&facts->answers[i])) < 0)
			return NULL;
	return TAKE_PTR(answers);
}

/* Owned, or NULL without memory. */
static struct json_object *entry_describe(const struct li_store_entry *entry)
{
	cleanup_with(json_done) struct json_object *object = json_object_new_object();
	const char *state = entry_state_name(entry->state);

	if (!object || json_add(object, "name", json_printable(entry->name)) < 0 ||
	    json_add(object, "state", json_object_new_string(state)) < 0 ||
	    json_add(object, "bytes", json_object_new_uint64(entry->bytes)) < 0 ||
	    json_add(object, "object", json_object_new_boolean(entry->is_object)) < 0)
		return NULL;
	if (entry->is_object &&
	    json_add(object, "in_use", json_object_new_boolean(entry->in_use)) < 0)
		return NULL;
	if (!entry->is_object &&
	    json_add(object, "used", json_object_new_int64(entry->used.tv_sec)) < 0)
		return NULL;
	if (entry->facts && json_add(object, "answers", facts_describe(entry->facts)) < 0)
		return NULL;
	return TAKE_PTR(object);
}

static bool entry_is_manifest(const struct li_store_entry *entry)
{
	return strncmp(entry->name, "images/", strlen("images/")) == 0;
}

static bool entry_is_layer(const struct li_store_entry *entry)
{
	return strncmp(entry->name, "layers/", strlen("layers/")) == 0;
}

static const char *entry_type(const struct li_store_entry *entry)
{
	if (entry->is_object)
		return "object";
	if (entry_is_layer(entry))
		return "layer";
	return entry_is_manifest(entry) ? "manifest" : "chain";
}

static int entry_add_row(struct table *table, const struct li_store_entry *entry)
{
	const char *digest = strrchr(entry->name, '/') + 1;
	char used[32] = "-";

	if (!entry->is_object)
		table_time(entry->used.tv_sec, used);
	if (table_add(table, PLAIN, "%s", entry_type(entry)) < 0 ||
	    table_add(table, PLAIN, "%.*s", DIGITS_SHOWN, digest) < 0 ||
	    table_add(table, entry_state_colour(entry->state), "%s",
		      entry_state_name(entry->state)) < 0 ||
	    table_add(table, PLAIN, "%" PRIu64 " kB", entry->bytes / 1024) < 0 ||
	    table_add(table, PLAIN, "%s", used) < 0 ||
	    table_add(table, PLAIN, entry->facts ? "%zu" : "-",
		      entry->facts ? entry->facts->count : 0) < 0 ||
	    table_add(table, PLAIN, "%s", entry->is_object ? entry->in_use ? "yes" : "no" : "-") <
		    0)
		return -ENOMEM;
	return 0;
}

static void job_visit(const struct li_store_entry *entry, void *context)
{
	struct job *job = context;
	int r;

	if (entry->is_object)
		job->objects++;
	else if (entry_is_layer(entry))
		job->layers++;
	else if (entry_is_manifest(entry))
		job->manifests++;
	else
		job->chains++;
	job->faults += entry->state != LI_STORE_CURRENT;
	job->bytes += entry->bytes;
	if (job->hidden_current && entry->state == LI_STORE_CURRENT)
		return;
	r = job->entries ? json_append(job->entries, entry_describe(entry))
			 : entry_add_row(&job->table, entry);
	job->no_memory |= r < 0;
}

/* Prints all that was found. */
static int job_print(struct job *job)
{
	cleanup_with(json_done) struct json_object *object = NULL;

	if (!job->call->json) {
		if (job->table.count > 0)
			table_print(&job->table);
		printf("%zu %s, %zu %s, %zu %s, %zu %s, %" PRIu64 " kB", job->chains,
		       job->chains == 1 ? "chain" : "chains", job->manifests,
		       job->manifests == 1 ? "manifest" : "manifests", job->objects,
		       job->objects == 1 ? "object" : "objects", job->layers,
		       job->layers == 1 ? "layer" : "layers", job->bytes / 1024);
		if (job->hidden_current)
			printf(", %zu not current", job->faults);
		putchar('\n');
		return 0;
	}
	object = json_object_new_object();
	if (!object || json_add(object, "entries", TAKE_PTR(job->entries)) < 0 ||
	    json_add(object, "directory", json_printable(job->directory)) < 0)
		return -ENOMEM;
	json_print(object);
	return 0;
}

/* Runs *each*, and prints what it finds. */
static int job_look(struct job *job, bool hash, struct view_error *error)
{
	static const struct column columns[] = {
		{"TYPE", false},      {"NAME", false}, {"STATE", false},  {"SIZE", true},
		{"LAST USED", false}, {"PATHS", true}, {"IN USE", false},
	};
	int r = 0;

	job->table = TABLE_OF(columns);
	job->entries = job->call->json ? json_object_new_array() : NULL;
	job->no_memory = job->call->json && !job->entries;
	if (job->store)
		r = hash ? li_store_verify(job->store, job->call->repair, job_visit, job)
			 : li_store_each(job->store, job_visit, job);
	if (r == 0 && (job->no_memory || job_print(job) < 0))
		r = -ENOMEM;
	table_done(&job->table);
	json_object_put(TAKE_PTR(job->entries));
	return r < 0 ? view_fail(error, MSG_STORE, job->directory, strerror(-r)) : 0;
}

static int job_list(struct job *job, struct view_error *error)
{
	return job_look(job, false, error);
}

static int job_verify(struct job *job, struct view_error *error)
{
	job->hidden_current = true;
	if (job_look(job, true, error) < 0)
		return -ECANCELED;
	return job->faults > 0 ? STATUS_NOT_WELL : 0;
}

static void job_count(const struct li_store_entry *entry, void *context)
{
	struct job *job = context;

	(void)entry;
	job->objects++;
}

static int job_clear(struct job *job, struct view_error *error)
{
	cleanup_with(json_done) struct json_object *object = json_object_new_object();
	int r = job->store ? li_store_each(job->store, job_count, job) : 0;

	if (r == 0 && job->store)
		r = li_store_clear(job->store);
	if (r < 0)
		return view_fail(error, MSG_STORE, job->directory, strerror(-r));
	if (!job->call->json) {
		printf("removed %zu %s\n", job->objects, job->objects == 1 ? "file" : "files");
		return 0;
	}
	if (!object || json_add(object, "directory", json_printable(job->directory)) < 0 ||
	    json_add(object, "removed", json_object_new_uint64(job->objects)) < 0)
		return view_fail(error, MSG_NO_MEMORY);
	json_print(object);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct job *job, struct view_error *error);
} actions[] = {{"list", job_list}, {"verify", job_verify}, {"clear", job_clear}};

static int refuse_action(const char *action, struct view_error *error)
{
	struct nearest nearest = nearest_to(action, strlen(action));

	nearest_offer(&nearest, "add");
	for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++)
		nearest_offer(&nearest, actions[i].name);
	return ctl_refuse(&nearest, error);
}

struct keep_work {
	const struct ctl_call *call;
	int (*action)(struct job *job, struct view_error *error);
};

/* Returns: the exit status, or < 0 with *error*. */
static int keep_run(void *argument, struct view_error *error)
{
	const struct keep_work *work = argument;
	cleanup_free char *directory = NULL;
	cleanup_with(li_store_done) struct li_store *store = NULL;
	struct job job = {.call = work->call};
	int r = store_open_named(&work->call->options, &directory, &store, error);

	job.directory = directory;
	job.store = store;
	return r < 0 ? r : work->action(&job, error);
}

/* Every action but add. */
static int store_keep(const struct ctl_call *call, struct view_error *error)
{
	const char *action = call->operands[0];
	const struct time_limit limit = {now_us(), call->options.timeout};
	bool printed;

	if (call->operands[1])
		return view_fail(error, MSG_TOO_MANY, call->operands[1]);
	for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++) {
		struct keep_work work = {call, actions[i].run};

		if (strcmp(action, actions[i].name) != 0)
			continue;
		if (call->repair && work.action != job_verify)
			return view_fail(error, MSG_ARGUMENT, "--repair");
		return ctl_run_timed(keep_run, &work, NULL, 0, &limit, &printed, error);
	}
	return refuse_action(action, error);
}

/* add has arguments of its own. */
static int store_run(const struct ctl_call *call, struct view_error *error)
{
	static const struct ctl_command keeping = {
		.name = "store",
		.print_help = store_print_help,
		.run = store_keep,
		.json = true,
		.repair = true,
		.options = true,
		.operands = "add, list, verify or clear",
		.capabilities = CTL_READ_FILES,
	};

	if (call->argc > 1 && strcmp(call->argv[1], "add") == 0)
		return store_add(call->argc - 1, call->argv + 1, error);
	return ctl_run(&keeping, call->argc, call->argv, error);
}

const struct ctl_command ctl_store = {
	.name = "store",
	.summary = "the artifact store: add an image; list, verify or clear it",
	.print_help = store_print_help,
	.run = store_run,
	.parses = true,
};
