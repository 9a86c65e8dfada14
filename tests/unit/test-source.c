/* SPDX-License-Identifier: Apache-2.0 */
/* From a command line to the layers: which form counts, and what relative layers start from. */
#include "fuse/source/source.h"

#include "fuse/cli/arguments.h"
#include "tests/unit/fixture-view.h"

enum { WORDS_MAX = 6 };

#define CHAIN "--chain=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

#define OVERLAY(OPTIONS) "[{\"Type\":\"overlay\",\"Options\":[" OPTIONS "]}]"

/* Options in front; SOURCE and MOUNTPOINT follow. "HERE" is the working directory. */
static const struct row {
	const char *options[WORDS_MAX];
	const char *source;
	const char *json; /* of mounts.json */
	enum view_code code;
	const char *layers; /* joined by "|"; or a part of the sentence */
} rows[] = {
	/* Typed: the working directory, unless there is a basedir=. */
	{{"-o", "lowerdir=/a:b:c/d"}, "label", NULL, CODE_NONE, "/a|HERE/b|HERE/c/d"},
	{{"-o", "lowerdir+=a", "-o", "lowerdir+=/b"}, "label", NULL, CODE_NONE, "HERE/a|/b"},
	{{"-o", "lowerdir=a,basedir=/base"}, "label", NULL, CODE_NONE, "/base/a"},
	{{"-o", "lowerdir=a,basedir=base"}, "label", NULL, CODE_NONE, "HERE/base/a"},
	{{"-o", "lowerdir=/a,basedir=/base"}, "label", NULL, CODE_NONE, "/a"},
	{{"-o", "lowerdir=a,upperdir=/s/3/fs"}, "label", NULL, CODE_NONE, "HERE/a"},
	/* Listed: two directories above the upperdir, as containerd's snapshots lie. */
	{{"--mounts=mounts.json"},
	 "label",
	 OVERLAY("\"upperdir=/s/3/fs\",\"lowerdir=2/fs:/x:1/fs\""),
	 CODE_NONE,
	 "/s/2/fs|/x|/s/1/fs"},
	{{"--mounts=mounts.json"},
	 "label",
	 OVERLAY("\"upperdir=/s/3/fs/\",\"lowerdir=2/fs\""),
	 CODE_NONE,
	 "/s/2/fs"},
	{{"--mounts=mounts.json", "-o", "basedir=/base"},
	 "label",
	 OVERLAY("\"upperdir=/s/3/fs\",\"lowerdir=2/fs\""),
	 CODE_NONE,
	 "/base/2/fs"},
	{{"--mounts=mounts.json", "-o", "basedir=base"},
	 "label",
	 OVERLAY("\"lowerdir=2/fs\""),
	 CODE_NONE,
	 "HERE/base/2/fs"},
	{{"--mounts=mounts.json"},
	 "label",
	 OVERLAY("\"lowerdir=2/fs:/x\""),
	 CODE_ENOTAPPLICABLE,
	 "--mounts=mounts.json: layer '2/fs' is relative"},
	{{"--mounts=mounts.json"},
	 "label",
	 OVERLAY("\"upperdir=3/fs\",\"lowerdir=2/fs\""),
	 CODE_ENOTAPPLICABLE,
	 "layer '2/fs' is relative"},
	{{"--mounts=mounts.json"},
	 "label",
	 "[{\"Type\":\"bind\",\"Source\":\"x\",\"Options\":[\"ro\"]}]",
	 CODE_ENOTAPPLICABLE,
	 "layer 'x' is relative"},
	/* No layers, or some that are not served. */
	{{"--mounts=mounts.json"},
	 "label",
	 OVERLAY("\"index=off\""),
	 CODE_ENOTAPPLICABLE,
	 "no layers"},
	{{"-o", "lowerdir=/a::/b"}, "label", NULL, CODE_ENOTAPPLICABLE, "data-only"},
	{{"-o", "datadir+=/b"}, "directory", NULL, CODE_ENOTAPPLICABLE, "data-only"},
	/* Two forms at once. */
	{{"--mounts=mounts.json", "--bundle=directory"},
	 "label",
	 "[]",
	 CODE_EUSAGE,
	 "only one source"},
	{{"--mounts=mounts.json", "-o", "lowerdir=/a"},
	 "label",
	 "[]",
	 CODE_EUSAGE,
	 "only one source"},
	{{"--bundle=directory", "-o", "lowerdir+=/a"},
	 "label",
	 NULL,
	 CODE_EUSAGE,
	 "only one source"},
	{{CHAIN, "-o", "lowerdir=/a"}, "label", NULL, CODE_EUSAGE, "only one source"},
	/* With a chain id there may be no layers. */
	{{CHAIN}, "missing", NULL, CODE_NONE, ""},
	{{CHAIN, "--mounts=mounts.json"}, "label", "[]", CODE_NONE, ""},
	{{CHAIN, "--mounts=mounts.json"}, "label", "null", CODE_NONE, ""},
	{{CHAIN, "--mounts=mounts.json"}, "label", "[{\"Type\":\"ext4\"}]", CODE_NONE, ""},
	{{CHAIN, "--mounts=mounts.json"}, "label", OVERLAY("\"lowerdir=/a\""), CODE_NONE, "/a"},
	{{CHAIN, "--mounts=mounts.json"}, "label", "{", CODE_EUSAGE, "is not JSON"},
	{{CHAIN, "--bundle=bundle"}, "label", NULL, CODE_NONE, ""},
	{{CHAIN, "--bundle=no-root"}, "label", NULL, CODE_ECONFIG, "'root.path' is missing"},
	/* SOURCE itself. */
	{{NULL}, "directory", NULL, CODE_NONE, "HERE/directory"},
	{{NULL}, "link", NULL, CODE_NONE, "HERE/directory"},
	{{NULL}, "missing", NULL, CODE_ELAYER, "SOURCE 'missing': No such file"},
	{{NULL}, "mounts.json", "", CODE_ELAYER, "SOURCE 'mounts.json': Not a directory"},
	/* With a form that names the layers it is a label. */
	{{"--mounts=mounts.json"}, "missing", OVERLAY("\"lowerdir=/a\""), CODE_NONE, "/a"},
	{{"--mounts=absent.json"}, "label", NULL, CODE_EUSAGE, "absent.json: No such file"},
	/* A bundle. */
	{{"--bundle=missing"}, "label", NULL, CODE_ECONFIG, "missing: No such file"},
	{{"--bundle=directory"}, "label", NULL, CODE_ECONFIG, "config.json: No such file"},
	{{"--bundle=bundle"}, "label", NULL, CODE_ENOTAPPLICABLE, "nothing is mounted"},
	{{"--bundle=no-root"}, "label", NULL, CODE_ECONFIG, "'root.path' is missing"},
	{{"--bundle=no-json"}, "label", NULL, CODE_ECONFIG, "is not JSON"},
};

static int find(const char *const options[], const char *label, struct arguments *arguments,
		struct source *source, struct view_error *error)
{
	char *argv[WORDS_MAX + 4] = {(char *)"program"};
	int argc = 1;

	for (size_t i = 0; i < WORDS_MAX && options[i]; i++)
		argv[argc++] = (char *)options[i];
	argv[argc++] = (char *)label;
	argv[argc++] = (char *)"mountpoint";
	same_int(label, arguments_parse(arguments, argc, argv, FOR_VIEW, error), 0);
	return source_find(&arguments->from, &arguments->options.overlay,
			   arguments->options.basedir, source, error);
}

/* *text* with the working directory in place of "HERE". */
static char *expanded(const char *text)
{
	cleanup_free char *here = getcwd(NULL, 0);
	char *whole = calloc(1, 4096);
	const char *mark;

	assert_non_null(here);
	assert_non_null(whole);
	while ((mark = strstr(text, "HERE"))) {
		strncat(whole, text, (size_t)(mark - text));
		strcat(whole, here);
		text = mark + strlen("HERE");
	}
	return strcat(whole, text);
}

static void check_row(const struct row *row)
{
	VIEW_ERROR(error);
	cleanup_with(arguments_done) struct arguments arguments = ARGUMENTS_INIT;
	cleanup_with(source_done) struct source source = SOURCE_INIT;
	const char *name =
		row->options[0] ? row->options[1] ? row->options[1] : row->layers : row->source;
	int r;

	if (row->json)
		make_file("mounts.json", row->json);
	r = find(row->options, row->source, &arguments, &source, &error);
	same_error(name, r, &error, row->code, row->layers);
	if (r == 0) {
		cleanup_free char *layers = expanded(row->layers);

		same_str(name, joined(&source.layers), layers);
	}
}

static void test_each_form_gives_its_layers(void **state)
{
	(void)state;
	make_dir("directory");
	make_link("directory", "link");
	make_file("bundle/config.json", "{\"root\":{\"path\":\"rootfs\"}}");
	make_dir("bundle/rootfs");
	make_file("no-root/config.json", "{\"root\":{}}");
	make_file("no-json/config.json", "{");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_row(&rows[i]);
}

/* Typed beside another form, id maps take the place of its own, and userxattr adds up. */
static void test_typed_idmaps_replace_those_of_the_form(void **state)
{
	static const char *const options[WORDS_MAX] = {"--mounts=mounts.json", "-o",
						       "uidmap=0:100:1"};
	VIEW_ERROR(error);
	cleanup_with(arguments_done) struct arguments arguments = ARGUMENTS_INIT;
	cleanup_with(source_done) struct source source = SOURCE_INIT;

	(void)state;
	make_file("mounts.json", OVERLAY("\"lowerdir=/a\",\"uidmap=0:1:1,1:2:1\","
					 "\"gidmap=0:5:1\",\"userxattr\""));
	assert_int_equal(find(options, "label", &arguments, &source, &error), 0);
	assert_int_equal(source.uids.count, 1);
	assert_int_equal(idmap_apply(&source.uids, 0), 100);
	assert_int_equal(idmap_apply(&source.gids, 0), 5);
	assert_true(source.userxattr);
}

/* The layers of a mounted overlay, with the names that its two layers of escapes were made for. */
static void test_the_layers_of_a_mounted_overlay_are_found_by_their_names(void **state)
{
	static const char *const none[WORDS_MAX] = {NULL};
	static const char *const based[WORDS_MAX] = {"-o", "basedir=."};
	cleanup_free char *here = expanded("HERE/sp ace|HERE/co,mma|HERE/co:lon|HERE/ba\\ck");
	cleanup_free char *beside = expanded("HERE/sp ace|HERE/ba\\ck");
	cleanup_free char *lowers = expanded("lowerdir=HERE/sp ace:HERE/co\\,mma:HERE/co\\:lon:"
					     "HERE/ba\\\\ck");
	VIEW_ERROR(error);
	cleanup_with(arguments_done) struct arguments arguments = ARGUMENTS_INIT;
	cleanup_with(arguments_done) struct arguments again = ARGUMENTS_INIT;
	cleanup_with(source_done) struct source source = SOURCE_INIT;
	cleanup_with(source_done) struct source near = SOURCE_INIT;
	cleanup_with(source_done) struct source relative = SOURCE_INIT, known = SOURCE_INIT;

	(void)state;
	private_mounts();
	make_dir("sp ace");
	make_dir("co,mma");
	make_dir("co:lon");
	make_dir("ba\\ck");
	make_dir("mounted");
	assert_return_code(mount("overlay", "mounted", "overlay", MS_RDONLY, lowers), errno);
	assert_int_equal(find(none, "mounted", &arguments, &source, &error), 0);
	assert_string_equal(joined(&source.layers), here);
	assert_true(source.from_mount);
	/* Relative ones lead nowhere, unless basedir= or the mountpoint says to what. */
	assert_return_code(mount("overlay", "mounted", "overlay", MS_RDONLY,
				 "lowerdir=sp ace:ba\\\\ck"),
			   errno);
	assert_int_equal(find(none, "mounted", &again, &near, &error), 0);
	assert_string_equal(joined(&near.layers), beside);
	make_dir("a/b/far");
	assert_return_code(mount("overlay", "a/b/far", "overlay", MS_RDONLY,
				 "lowerdir=sp ace:ba\\\\ck"),
			   errno);
	assert_int_equal(find(none, "a/b/far", &again, &relative, &error), -ECANCELED);
	same_error("relative", -ECANCELED, &error, CODE_ENOTAPPLICABLE,
		   "'a/b/far': layer 'sp ace' is relative");
	error.code = CODE_NONE;
	assert_int_equal(find(based, "a/b/far", &again, &known, &error), 0);
	assert_int_equal(known.layers.count, 2);
}

/* A path through one of the caller's descriptors, which it may close once we are started. */
static void test_a_path_through_a_descriptor_outlives_the_descriptor(void **state)
{
	cleanup_free char *here = expanded("HERE/directory");
	cleanup_close int fd = -EBADF;
	char list[64];
	const char *const options[WORDS_MAX] = {"-o", list};

	(void)state;
	make_dir("directory");
	fd = open("directory", O_PATH | O_CLOEXEC);
	for (int i = 0; i < 3; i++) {
		cleanup_with(arguments_done) struct arguments arguments = ARGUMENTS_INIT;
		cleanup_with(source_done) struct source source = SOURCE_INIT;
		VIEW_ERROR(error);
		int r;

		snprintf(list, sizeof(list), "lowerdir=%s/%d", i == 0 ? "/proc/self/fd" : "/dev/fd",
			 i == 2 ? 9999 : fd);
		r = find(options, "label", &arguments, &source, &error);
		same_error(list, r, &error, i == 2 ? CODE_ELAYER : CODE_NONE, "layer 0");
		if (r == 0)
			same_str(list, joined(&source.layers), here);
	}
}

static void test_a_layer_that_cannot_be_opened_has_the_code_of_its_origin(void **state)
{
	static const struct {
		const char *second;
		bool from_mount;
		enum view_code code;
		const char *message;
	} cases[] = {
		{"b", false, CODE_NONE, NULL},
		{"missing", false, CODE_ELAYER, "layer 1 'missing': No such file or directory"},
		{"file", false, CODE_ELAYER, "layer 1 'file': Not a directory"},
		/* Read off a mount that another namespace may have made. */
		{"missing", true, CODE_ENOTAPPLICABLE, "layer 1 'missing' cannot be opened"},
		{"file", true, CODE_ENOTAPPLICABLE, "layer 1 'file' cannot be opened"},
		{"loop", true, CODE_ENOTAPPLICABLE, "layer 1 'loop' leads through /proc"},
		{"loop", false, CODE_ELAYER, "layer 1 'loop': Too many levels"},
	};

	(void)state;
	require_root();
	make_dir("a");
	make_dir("b");
	make_file("file", "");
	make_link("loop", "loop");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		VIEW_ERROR(error);
		cleanup_with(source_done) struct source source = {
			.overlay = MOUNTED_OVERLAY_INIT,
			.from_mount = cases[i].from_mount,
			.origin_label = strdup("name"),
		};
		struct li_stack *stack = NULL;
		int r;

		assert_int_equal(strings_take(&source.layers, strdup("a")), 0);
		assert_int_equal(strings_take(&source.layers, strdup(cases[i].second)), 0);
		r = source_open(&source, NULL, 0, (struct retry){}, &stack, &error);
		same_error(cases[i].second, r, &error, cases[i].code, cases[i].message);
		li_stack_close(stack);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_each_form_gives_its_layers),
		scratch_test(test_typed_idmaps_replace_those_of_the_form),
		scratch_test(test_the_layers_of_a_mounted_overlay_are_found_by_their_names),
		scratch_test(test_a_path_through_a_descriptor_outlives_the_descriptor),
		scratch_test(test_a_layer_that_cannot_be_opened_has_the_code_of_its_origin),
	};

	return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
