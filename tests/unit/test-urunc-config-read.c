/* SPDX-License-Identifier: Apache-2.0 */
/* Which configuration counts: annotations, urunc.json, and what was typed. */
#include "fuse/base/json.h"
#include "fuse/view/urunc-config.h"
#include "tests/unit/fixture-view.h"

#define PREFIX "com.urunc.unikernel."
#define IN_LAYER                                                                            \
	"{\"" PREFIX "unikernelType\":\"cg==\",\"" PREFIX "hypervisor\":\"cQ==\",\"" PREFIX \
	"binary\":\"L2s=\",\"" PREFIX "initrd\":\"L2k=\"}"
#define NOT_WHOLE "{\"" PREFIX "unikernelType\":\"r\",\"" PREFIX "binary\":\"/annotated\"}"
/* Used as they are: this is no base64. */
#define WHOLE                                                                         \
	"{\"" PREFIX "unikernelType\":\"r\",\"" PREFIX "hypervisor\":\"q\",\"" PREFIX \
	"binary\":\"/annotated\"}"

static const struct row {
	const char *name;
	const char *urunc_json; /* content; "/" is a directory, "@x" a link to x, NULL none */
	const char *annotations;
	const char *options;
	enum view_code code;
	const char *binary, *initrd;
} rows[] = {
	{"urunc.json", IN_LAYER, NULL, "", CODE_NONE, "/k", "/i"},
	{"linked", "@/etc/u", NULL, "", CODE_NONE, "/linked", NULL},
	{"whole annotations", IN_LAYER, WHOLE, "", CODE_NONE, "/annotated", NULL},
	{"all or nothing", IN_LAYER, NOT_WHOLE, "", CODE_NONE, "/k", "/i"},
	{"annotations alone", NULL, WHOLE, "", CODE_NONE, "/annotated", NULL},
	{"broken, not needed", "{", WHOLE, "", CODE_NONE, "/annotated", NULL},
	{"other annotations", IN_LAYER, "{\"a\":\"b\"}", "", CODE_NONE, "/k", "/i"},
	/* Nothing that says what boots. */
	{"none", NULL, NULL, "", CODE_ENOTAPPLICABLE, NULL, NULL},
	{"none, not whole", NULL, NOT_WHOLE, "", CODE_ENOTAPPLICABLE, NULL, NULL},
	{"initrd= alone", NULL, NULL, "initrd=/x", CODE_ENOTAPPLICABLE, NULL, NULL},
	/* One that cannot be used. */
	{"broken", "{", NULL, "", CODE_ECONFIG, NULL, NULL},
	{"a directory", "/", NULL, "", CODE_ECONFIG, NULL, NULL},
	{"a loop", "@urunc.json", NULL, "", CODE_ECONFIG, NULL, NULL},
	{"broken, initrd=", "{", NULL, "initrd=/x", CODE_ECONFIG, NULL, NULL},
	/* binary= and initrd= replace one path each. */
	{"binary=", IN_LAYER, NULL, "binary=/x", CODE_NONE, "/x", "/i"},
	{"initrd=", IN_LAYER, NULL, "initrd=/x", CODE_NONE, "/k", "/x"},
	{"both", IN_LAYER, NULL, "binary=/x,initrd=/y", CODE_NONE, "/x", "/y"},
	{"binary=, annotations", NULL, WHOLE, "binary=/x", CODE_NONE, "/x", NULL},
	{"binary= alone", NULL, NULL, "binary=/x", CODE_NONE, "/x", NULL},
	{"both, broken", "{", NULL, "binary=/x,initrd=/y", CODE_NONE, "/x", "/y"},
};

static void check_row(const struct row *row)
{
	VIEW_ERROR(error);
	cleanup_with(options_done) struct options options = OPTIONS_INIT;
	cleanup_with(urunc_config_done) struct urunc_config boot = {};
	cleanup_with(image_file_done) struct image_file config = IMAGE_FILE_INIT;
	cleanup_with(json_done) struct json_object *annotations = NULL;
	cleanup_free char *list = strdup(row->options);
	char *const layer[] = {(char *)"layer"};
	cleanup_with(image_close) struct image image = {.layers = 1};
	struct json_fault fault;
	size_t bad;
	int r;

	remove_tree(AT_FDCWD, "layer");
	make_file("layer/etc/u", "{\"" PREFIX "unikernelType\":\"cg==\",\"" PREFIX
				 "hypervisor\":\"cQ==\",\"" PREFIX "binary\":\"L2xpbmtlZA==\"}");
	if (row->urunc_json && *row->urunc_json == '/')
		make_dir("layer/urunc.json");
	else if (row->urunc_json && *row->urunc_json == '@')
		make_link(row->urunc_json + 1, "layer/urunc.json");
	else if (row->urunc_json)
		make_file("layer/urunc.json", row->urunc_json);
	if (row->annotations)
		same_int(row->name,
			 json_parse(row->annotations, strlen(row->annotations), &annotations,
				    &fault),
			 0);
	same_int(row->name, options_parse(&options, list, &error), 0);
	same_int(row->name, li_stack_open(layer, 1, 0, NULL, &image.stack, &bad), 0);
	r = urunc_config_read(&options, annotations, &image, &boot, &config, &error);
	same_error(row->name, r, &error, row->code, NULL);
	if (r < 0)
		return;
	same_str(row->name, boot.binary, row->binary);
	same_str(row->name, boot.initrd, row->initrd);
}

static void test_urunc_json_is_read_from_the_layers(void **state)
{
	(void)state;
	require_root();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_row(&rows[i]);
}

static void test_a_urunc_json_above_the_limit_is_rejected(void **state)
{
	static const struct row too_large = {
		"too large", "x", NULL, "", CODE_ECONFIG, NULL, NULL,
	};
	char *text = malloc(URUNC_JSON_SIZE_MAX + 2);
	struct row row = too_large;

	(void)state;
	require_root();
	assert_non_null(text);
	memset(text, ' ', URUNC_JSON_SIZE_MAX + 1);
	text[URUNC_JSON_SIZE_MAX + 1] = '\0';
	memcpy(text, IN_LAYER, strlen(IN_LAYER));
	row.urunc_json = text;
	check_row(&row);
	text[URUNC_JSON_SIZE_MAX] = '\0';
	row = rows[0];
	row.urunc_json = text;
	check_row(&row);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_urunc_json_is_read_from_the_layers),
		scratch_test(test_a_urunc_json_above_the_limit_is_rejected),
	};

	return cmocka_run_group_tests_name("boot-read", tests, NULL, NULL);
}
