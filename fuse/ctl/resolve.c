/* SPDX-License-Identifier: Apache-2.0 */
/* viewfsctl resolve: what a view would hold, without mounting one. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/clock.h"
#include "fuse/base/digest.h"
#include "fuse/base/json.h"
#include "fuse/base/messages.h"
#include "fuse/cli/arguments.h"
#include "fuse/cli/output.h"
#include "fuse/cli/version.h"
#include "fuse/ctl/ctl.h"
#include "fuse/ctl/table.h"
#include "fuse/ctl/timed.h"
#include "fuse/process/sandbox.h"
#include "fuse/source/layer-path.h"
#include "fuse/view/ingest.h"
#include "fuse/view/pin.h"
#include "fuse/view/view.h"

static void resolve_print_help(void)
{
	output_hold();
	puts("Usage: viewfsctl resolve [options] [SOURCE]\n"
	     "\n"
	     "Prints what a view of a source would hold, and from which layer; mounts nothing.\n"
	     "Layers are counted from 0, topmost first.\n"
	     "\n"
	     "The layers come from -o lowerdir=…, --layer-fd=N, --mounts=FILE, --bundle=DIR,\n"
	     "--container=ID, --chain=DIGEST, --oci=LAYOUT, --content=STORE or SOURCE, as for\n"
	     "urunc-viewfs(8).\n"
	     "\n"
	     "Options:\n"
	     "      --json                one JSON object instead of a table\n"
	     "      --digest              also print the SHA-256 of every artifact\n"
	     "  -o OPTIONS                mount options, separated by commas (see below)\n"
	     "      --mounts=FILE         containerd's mounts as JSON (- is stdin)\n"
	     "      --bundle=DIR          an OCI bundle's rootfs and annotations\n"
	     "      --container=ID        a running container, by the beginning of its id\n"
	     "      --state-dir=DIR       containerd's state directory, for --container\n"
	     "      --layer-fd=N          a layer's directory, open as descriptor N; topmost "
	     "first\n"
	     "      --chain=sha256:HEX    the image with that chain id, in the artifact store\n"
	     "      --oci=LAYOUT[:REF]    the image in an OCI layout\n"
	     "      --content=STORE       the image in containerd's content store\n"
	     "      --manifest=DIGEST     its manifest, or an index, for --content\n"
	     "  -h, --help                this text\n"
	     "  -V, --version             the version, and what this build and this kernel can "
	     "do\n");
	options_help();
	puts("\nExit status: 0 the view could boot, 1 usage, 2 system, 32 it could not.");
}

/* One line of the answer. */
struct row {
	struct artifact *artifact;
	char digest[DIGEST_TEXT_SIZE]; /* "" without --digest */
};

static int digest_rows(struct row *rows, size_t n, struct view_error *error)
{
	for (size_t i = 0; i < n; i++) {
		struct artifact *artifact = rows[i].artifact;
		int r = artifact_hash(artifact);

		if (r < 0)
			return view_fail(error, MSG_ARTIFACT_LAYER, roles_name(artifact->roles),
					 artifact->path, strerror(-r));
		digest_print(&artifact->digest.digest, rows[i].digest);
	}
	return 0;
}

static int resolve_print_table(const struct row *rows, size_t n, const struct view *view,
			       bool digests)
{
	static const struct column columns[] = {
		{"ROLE", false}, {"PATH", false},   {"SIZE", true},
		{"LAYER", true}, {"ORIGIN", false}, {"DIGEST", false},
	};
	cleanup_with(table_done) struct table table = TABLE_OF(columns);

	table.width -= !digests;
	for (size_t i = 0; i < n; i++) {
		const struct artifact *artifact = rows[i].artifact;

		if (table_add(&table, PLAIN, "%s", roles_name(artifact->roles)) < 0 ||
		    table_add(&table, PLAIN, "%s", artifact->path) < 0 ||
		    table_add(&table, PLAIN, "%lld", (long long)artifact->st.st_size) < 0 ||
		    table_add(&table, PLAIN, view->image.layers > 0 ? "%zu" : "-",
			      artifact->layer) < 0 ||
		    table_add(&table, PLAIN, "%s", artifact->origin) < 0 ||
		    (digests && table_add(&table, PLAIN, "%s", rows[i].digest) < 0))
			return -ENOMEM;
	}
	if (n > 0)
		table_print(&table);
	return 0;
}

/* Owned, or NULL without memory. */
static struct json_object *resolve_describe(const struct image *image, const struct row *row)
{
	cleanup_with(json_done) struct json_object *object = json_object_new_object();
	const struct artifact *artifact = row->artifact;
	const char *role = roles_name(artifact->roles);

	if (!object || json_add(object, "role", json_object_new_string(role)) < 0 ||
	    json_add(object, "path", json_printable(artifact->path)) < 0 ||
	    (image->layers > 0 &&
	     json_add(object, "layer", json_object_new_uint64(artifact->layer)) < 0) ||
	    json_add(object, "origin", json_printable(artifact->origin)) < 0 ||
	    json_add(object, "size", json_object_new_int64(artifact->st.st_size)) < 0 ||
	    (*row->digest && json_add(object, "digest", json_object_new_string(row->digest)) < 0))
		return NULL;
	return TAKE_PTR(object);
}

/* As in the ready line. */
static int add_image(struct json_object *object, const struct image *image)
{
	struct json_object *described = json_object_new_object();
	const char *name = image_key_name(&image->key);
	char digest[DIGEST_TEXT_SIZE];

	digest_print(&image->key.id, digest);
	if (json_add(object, "image", described) < 0)
		return -ENOMEM;
	return json_add(described, name, json_object_new_string(digest));
}

static int resolve_print_json(const struct row *rows, size_t n, const struct view *view,
			      const struct view_error *error)
{
	cleanup_with(json_done) struct json_object *object = json_object_new_object();
	struct json_object *artifacts = json_object_new_array();
	bool bootable = error->code == CODE_NONE;
	int64_t layers = (int64_t)view->image.layers;

	if (!object || json_add(object, "bootable", json_object_new_boolean(bootable)) < 0 ||
	    (layers > 0 && json_add(object, "layers", json_object_new_int64(layers)) < 0) ||
	    (view->image.stored && add_image(object, &view->image) < 0) ||
	    json_add(object, "artifacts", artifacts) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (json_append(artifacts, resolve_describe(&view->image, &rows[i])) < 0)
			return -ENOMEM;
	if (!bootable && json_add(object, "error", ctl_describe_error(error)) < 0)
		return -ENOMEM;
	json_print(object);
	return 0;
}

/* After the first artifact that could not be resolved: the others, as far as they can be. */
static void resolve_the_rest(struct view *view)
{
	for (size_t i = 0; i < view->artifact_count; i++) {
		VIEW_ERROR(ignored);

		if (view->artifacts[i].state == ARTIFACT_UNRESOLVED)
			artifact_resolve(view, &view->artifacts[i], &ignored);
	}
}

/* Makes the view of what is there, or of what is added to the store first. */
static void resolve_view(const struct options *options, bool terminal, struct source *source,
			 struct view *view, struct view_error *error)
{
	uint64_t start_us = now_us();
	cleanup_with(ingest_done) struct ingest ingest = INGEST_OF(options, start_us, terminal);
	bool prepared;
	int r;

	do {
		r = view_prepare(options, source, false, start_us, view, error);
		prepared = r == 0;
		if (prepared)
			r = view_resolve(view, source, error);
	} while (r == IMAGE_MISS && ingest_again(&ingest, source, view, error));
	/* What the store lacks an answer for is not shown as its image. */
	if (r == IMAGE_MISS)
		image_close(&view->image);
	if (prepared && r == 0)
		r = view_check_pins(view, options, error);
	if (prepared && r < 0 && error->code != CODE_ENOTAPPLICABLE)
		resolve_the_rest(view);
}

struct resolve_work {
	struct arguments *arguments;
	bool terminal; /* stderr is one; the work's own is a pipe */
};

/* Resolves what can be, and shows that; the first that cannot is the error. */
static int resolve(void *argument, struct view_error *error)
{
	struct resolve_work *work = argument;
	struct arguments *arguments = work->arguments;
	struct options *options = &arguments->options;
	cleanup_with(source_done) struct source source = SOURCE_INIT;
	cleanup_with(view_done) struct view view = {};
	struct row rows[ARTIFACTS_MAX] = {};
	size_t n = 0;

	if (source_find(&arguments->from, &options->overlay, options->basedir, &source, error) == 0)
		resolve_view(options, work->terminal, &source, &view, error);
	/* Where nothing is applicable the layers are not the image's. */
	for (size_t i = 0; i < view.artifact_count && error->code != CODE_ENOTAPPLICABLE; i++)
		if (view.artifacts[i].state == ARTIFACT_READY)
			rows[n++].artifact = &view.artifacts[i];
	if (arguments->digest)
		digest_rows(rows, n, error);
	if ((arguments->json ? resolve_print_json(rows, n, &view, error)
			     : resolve_print_table(rows, n, &view, arguments->digest)) < 0)
		return view_fail(error, MSG_NO_MEMORY);
	return error->code == CODE_NONE ? 0 : -ECANCELED;
}

/* The caller's descriptors that lead to layers; owned. Returns: 0 or -ENOMEM. */
static int list_descriptors(const struct arguments *arguments, int **ret, size_t *ret_n)
{
	const struct layer_fds *given = &arguments->from.layer_fds;
	const struct strings *lowers = &arguments->options.overlay.lowers;

	*ret = calloc(given->count + lowers->count + 1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	for (size_t i = 0; i < given->count; i++)
		(*ret)[(*ret_n)++] = given->items[i];
	for (size_t i = 0; i < lowers->count; i++) {
		int fd = descriptor_of_path(lowers->items[i]);

		if (fd > STDERR_FILENO)
			(*ret)[(*ret_n)++] = fd;
	}
	return 0;
}

static int resolve_in_time(struct arguments *arguments, struct view_error *error)
{
	const struct time_limit limit = {now_us(), arguments->options.timeout};
	struct resolve_work work = {arguments, isatty(STDERR_FILENO)};
	bool printed;
	cleanup_free int *keep = NULL;
	size_t n = 0;
	int r;

	if (list_descriptors(arguments, &keep, &n) < 0)
		return view_fail(error, MSG_NO_MEMORY);
	r = ctl_run_timed(resolve, &work, keep, n, &limit, &printed, error);

	if (!printed && arguments->json)
		resolve_print_json(NULL, 0, &(struct view){}, error);
	return r;
}

static int resolve_run(const struct ctl_call *call, struct view_error *error)
{
	cleanup_with(arguments_done) struct arguments arguments = ARGUMENTS_INIT;

	sandbox_early(false);
	if (arguments_parse(&arguments, call->argc, call->argv, FOR_RESOLVE, error) < 0)
		return -ECANCELED;
	if (arguments.help)
		resolve_print_help();
	else if (arguments.version)
		version_print("viewfsctl");
	else
		return resolve_in_time(&arguments, error);
	return 0;
}

const struct ctl_command ctl_resolve = {
	.name = "resolve",
	.summary = "what a view of a source would hold, and from which layer",
	.print_help = resolve_print_help,
	.run = resolve_run,
	.parses = true,
};
