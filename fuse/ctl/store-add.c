/* SPDX-License-Identifier: Apache-2.0 */
/* viewfsctl store add: fill the artifact store with what a view of an image asks for. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fuse/base/clock.h"
#include "fuse/base/json.h"
#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/cli/arguments.h"
#include "fuse/cli/version.h"
#include "fuse/ctl/store-progress.h"
#include "fuse/ctl/store.h"
#include "fuse/ctl/table.h"
#include "fuse/ctl/timed.h"
#include "fuse/fill/from-blobs.h"
#include "fuse/fill/from-tree.h"
#include "fuse/process/sandbox.h"
#include "fuse/source/bundle.h"
#include "fuse/source/image.h"
#include "fuse/source/layer-path.h"
#include "fuse/view/view.h"

/* What was added, and what a view of it would say. */
struct job {
	struct arguments *arguments;
	bool terminal;		     /* progress is for a person */
	struct bundle_config bundle; /* empty without --bundle */
	char *directory;	     /* the store's; owned */
	uint64_t start_us;
	struct blob_place place;
	struct blob_source blobs;	    /* its image is open of blobs only */
	struct digest_wish chain, manifest; /* the image's */
	struct fill_result result;
};

static void job_done(struct job *job)
{
	bundle_config_done(&job->bundle);
	free(job->directory);
	blob_image_done(&job->blobs.image);
	fill_result_done(&job->result);
}
DEFINE_CLEANUP(struct job, job_done)

static const char *answer_kind_name(enum li_store_kind kind)
{
	static const char *const names[] = {
		[LI_STORE_ABSENT] = "absent",
		[LI_STORE_ARTIFACT] = "artifact",
		[LI_STORE_OTHER] = "other",
	};

	return names[kind];
}

struct json_object *store_describe_answer(const struct li_store_answer *answer)
{
	cleanup_with(json_done) struct json_object *object = json_object_new_object();
	const char *kind = answer_kind_name(answer->kind);
	char digest[DIGEST_TEXT_SIZE];

	digest_print(&answer->digest, digest);
	if (!object || json_add(object, "path", json_printable(answer->path)) < 0 ||
	    json_add(object, "kind", json_object_new_string(kind)) < 0)
		return NULL;
	if (answer->kind != LI_STORE_ARTIFACT)
		return TAKE_PTR(object);
	if (*answer->origin && json_add(object, "origin", json_printable(answer->origin)) < 0)
		return NULL;
	if (json_add(object, "size", json_object_new_uint64(answer->size)) < 0 ||
	    json_add(object, "digest", json_object_new_string(digest)) < 0)
		return NULL;
	return TAKE_PTR(object);
}

/* What a view of the stored image would fail with. */
static int add_check_view(struct job *job, struct view_error *error)
{
	cleanup_with(source_done) struct source source = SOURCE_INIT;
	cleanup_with(view_done) struct view view = {};

	source.chain = job->chain;
	source.manifest = job->manifest;
	source.by_manifest = job->manifest.given;
	source.annotations = json_object_get(job->bundle.annotations);
	if (view_prepare(&job->arguments->options, &source, false, job->start_us, &view, error) < 0)
		return -ECANCELED;
	return view_resolve(&view, &source, error);
}

/* The parents of a default directory, which no package need have made. */
static void add_make_parent(const struct job *job)
{
	cleanup_free char *parent = strdup(job->directory);
	char *slash = parent ? strrchr(parent, '/') : NULL;

	if (!job->arguments->options.store && slash && slash > parent) {
		*slash = '\0';
		mkdir(parent, 0700);
	}
}

/* Finds out which image it is. Returns: 0, with *ret*; or < 0 with *error*. */
static int add_identify(struct job *job, struct fill_call *ret, struct view_error *error)
{
	const struct arguments *arguments = job->arguments;
	const struct digest_wish *wish = &arguments->from.chain;
	char chain[DIGEST_TEXT_SIZE];

	if (arguments->tree) {
		job->chain = *wish;
		*ret = fill_call_of_tree(arguments->tree, &wish->digest);
		return 0;
	}
	job->place = (struct blob_place){
		.oci = arguments->from.oci,
		.content = arguments->from.content,
		.manifest = arguments->from.manifest,
		.platform = arguments->options.platform,
	};
	if (blob_image_open(&job->place, &job->blobs.image, error) < 0)
		return -ECANCELED;
	job->chain = (struct digest_wish){true, job->blobs.image.chain};
	job->manifest = (struct digest_wish){true, job->blobs.image.manifest};
	digest_print(&job->chain.digest, chain);
	if (wish->given && memcmp(&wish->digest, &job->chain.digest, sizeof(wish->digest)) != 0)
		return view_fail(error, MSG_CHAIN, chain);
	*ret = fill_call_of_blobs(&job->blobs);
	return 0;
}

static int add_image(struct job *job, struct view_error *error)
{
	const struct arguments *arguments = job->arguments;
	struct fill_call call;
	int r;

	if (add_identify(job, &call, error) < 0)
		return -ECANCELED;
	call.options = &arguments->options;
	/* In the background there is nothing to wait for. */
	if (arguments->options.ingest != INGEST_LATER)
		call.deadline_us = job->start_us + arguments->options.timeout * UINT64_C(1000000);
	job->directory = store_directory_path(arguments->options.store);
	if (!job->directory)
		return view_fail(error, MSG_NO_STORE_DIRECTORY);
	if (arguments->from.bundle &&
	    bundle_config_read(arguments->from.bundle, &job->bundle, error) < 0)
		return -ECANCELED;
	call.annotations = job->bundle.annotations;
	if (arguments->json || job->terminal)
		call.progress = store_progress_tell;
	store_progress_start(job->start_us, arguments->json);
	add_make_parent(job);
	r = fill_store(&call, job->directory, &job->result, error);
	store_progress_end();
	return r < 0 ? -ECANCELED : add_check_view(job, error);
}

/* The last line of --json. */
static int add_print_json(const struct job *job, const struct view_error *error)
{
	cleanup_with(json_done) struct json_object *object = json_object_new_object();
	struct json_object *answers = json_object_new_array();
	const struct fill_result *result = &job->result;
	uint64_t elapsed_us = now_us() - job->start_us;
	char chain[DIGEST_TEXT_SIZE];
	cleanup_free char *line = NULL;

	digest_print(&job->chain.digest, chain);
	if (!object || json_add(object, "answers", answers) < 0 ||
	    (job->chain.given && json_add(object, "chain", json_object_new_string(chain)) < 0) ||
	    json_add(object, "added", json_object_new_boolean(result->added)) < 0 ||
	    json_add(object, "bytes", json_object_new_uint64(result->bytes)) < 0 ||
	    json_add(object, "elapsed_us", json_object_new_uint64(elapsed_us)) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < result->facts.count; i++)
		if (json_append(answers, store_describe_answer(&result->facts.answers[i])) < 0)
			return -ENOMEM;
	if (error->code != CODE_NONE && json_add(object, "error", ctl_describe_error(error)) < 0)
		return -ENOMEM;
	line = json_line(object);
	return line ? puts(line) < 0 ? -EIO : 0 : -ENOMEM;
}

static int add_print_table(const struct job *job)
{
	static const struct column columns[] = {
		{"PATH", false},
		{"KIND", false},
		{"SIZE", true},
		{"DIGEST", false},
	};
	cleanup_with(table_done) struct table table = TABLE_OF(columns);
	const struct li_store_facts *facts = &job->result.facts;

	for (size_t i = 0; i < facts->count; i++) {
		const struct li_store_answer *answer = &facts->answers[i];
		bool artifact = answer->kind == LI_STORE_ARTIFACT;
		char digest[DIGEST_TEXT_SIZE];

		digest_print(&answer->digest, digest);
		if (table_add(&table, PLAIN, "%s", answer->path) < 0 ||
		    table_add(&table, PLAIN, "%s", answer_kind_name(answer->kind)) < 0 ||
		    table_add(&table, PLAIN, artifact ? "%" PRIu64 : "-", answer->size) < 0 ||
		    table_add(&table, PLAIN, "%s", artifact ? digest : "-") < 0)
			return -ENOMEM;
	}
	if (facts->count == 0)
		return 0;
	table_print(&table);
	printf("%s\n", job->result.added ? "added" : "was there already");
	return 0;
}

/* The whole work, whose failure is printed. Returns: the exit status. */
static int add_run(void *argument, struct view_error *error)
{
	struct job *job = argument;

	add_image(job, error);
	if ((job->arguments->json ? add_print_json(job, error) : add_print_table(job)) < 0)
		view_fail(error, MSG_NO_MEMORY);
	return error->code == CODE_NONE ? 0 : ctl_fail("store", error);
}

int store_add(int argc, char **argv, struct view_error *error)
{
	cleanup_with(arguments_done) struct arguments arguments = ARGUMENTS_INIT;
	cleanup_with(job_done) struct job job = {
		.arguments = &arguments,
		/* The work's own stderr is a pipe. */
		.terminal = isatty(STDERR_FILENO),
		.start_us = now_us(),
	};
	struct time_limit limit;
	bool printed;
	int tree, r;

	job.blobs.image = BLOB_IMAGE_INIT;
	sandbox_early(false);
	if (arguments_parse(&arguments, argc, argv, FOR_ADD, error) < 0)
		return -ECANCELED;
	if (arguments.syslog)
		log_to_syslog();
	if (arguments.help) {
		store_print_help();
		return 0;
	}
	if (arguments.version) {
		version_print("viewfsctl");
		return 0;
	}
	tree = arguments.tree ? descriptor_of_path(arguments.tree) : -1;
	limit = (struct time_limit){job.start_us, arguments.options.timeout};
	r = ctl_run_timed(add_run, &job, &tree, tree > STDERR_FILENO, &limit, &printed, error);
	/* The work was ended in the middle of its line. */
	if (r < 0 && job.terminal && now_us() - job.start_us > FILL_PROGRESS_FIRST_US)
		fill_progress_clear();
	/* What the work could not say itself. */
	if (r < 0 && arguments.json)
		add_print_json(&job, error);
	return r;
}
