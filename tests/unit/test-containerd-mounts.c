/* SPDX-License-Identifier: Apache-2.0 */
/* containerd's mounts: Go's mount.Mount and the protobuf's types.Mount, as JSON. */
#include "fuse/source/containerd-mounts.h"

#include "tests/unit/fixture-view.h"

#define OVERLAY(OPTIONS) "[{\"Type\":\"overlay\",\"Source\":\"overlay\",\"Options\":[" OPTIONS "]}]"

#define BIND(SOURCE, OPTIONS) \
	"[{\"type\":\"bind\",\"source\":\"" SOURCE "\",\"options\":[" OPTIONS "]}]"

static const struct row {
	const char *text;
	enum view_code code;
	const char *lowers; /* joined by "|" */
} rows[] = {
	{OVERLAY("\"index=off\",\"lowerdir=/l/2:/l/1\""), CODE_NONE, "/l/2|/l/1"},
	{OVERLAY("\"workdir=/w\",\"upperdir=/u\",\"lowerdir=2/fs:1/fs\""), CODE_NONE, "2/fs|1/fs"},
	/* As a Go program writes it, with all keys. */
	{"[{\"Type\":\"overlay\",\"Source\":\"overlay\",\"Target\":\"\",\"Options\":"
	 "[\"lowerdir=/a:/b\"]}]\n",
	 CODE_NONE, "/a|/b"},
	{"[{\"type\":\"overlay\",\"source\":\"overlay\",\"options\":[\"lowerdir=/a:/b\"]}]",
	 CODE_NONE, "/a|/b"},
	{"[{\"TYPE\":\"overlay\",\"OPTIONS\":[\"lowerdir=/a\"]}]", CODE_NONE, "/a"},
	{"[{\"Type\":\"overlay\",\"Target\":\"/\",\"Options\":[\"lowerdir=/a\"]}]", CODE_NONE,
	 "/a"},
	{"{\"Mounts\":" OVERLAY("\"lowerdir=/a\"") "}", CODE_NONE, "/a"},
	{"{\"mounts\":" OVERLAY("\"lowerdir=/a\"") ",\"more\":1}", CODE_NONE, "/a"},
	/* Escapes of overlayfs within those of JSON; a list in one element. */
	{OVERLAY("\"lowerdir=/co\\\\:lon:/sp ace:/co\\\\,mma\""), CODE_NONE,
	 "/co:lon|/sp ace|/co,mma"},
	{OVERLAY("\"ro,lowerdir=/a:/b\""), CODE_NONE, "/a|/b"},
	{OVERLAY("\"lowerdir+=/a\",\"lowerdir+=/b\""), CODE_NONE, "/a|/b"},
	/* A single layer is a bind of it. */
	{"[{\"Type\":\"bind\",\"Source\":\"/l/1/fs\",\"Options\":[\"rbind\",\"ro\"]}]", CODE_NONE,
	 "/l/1/fs"},
	{BIND("/a:b,c", "\"ro\""), CODE_NONE, "/a:b,c"},
	{BIND("/a", "\"rbind,nosuid,ro\""), CODE_NONE, "/a"},
	{BIND("/a", "\"rw\",\"ro\""), CODE_NONE, "/a"},
	/* A request of containerd's, whose rootfs counts. */
	{"{\"id\":\"x\",\"bundle\":\"/b\",\"rootfs\":" OVERLAY("\"lowerdir=/a\"") "}", CODE_NONE,
	 "/a"},
	{"{\"Rootfs\":" OVERLAY("\"lowerdir=/a\"") ",\"Mounts\":[]}", CODE_NONE, "/a"},
	{"{\"Rootfs\":null,\"Mounts\":" OVERLAY("\"lowerdir=/a\"") "}", CODE_NONE, "/a"},

	/* Fine, and nothing for a view. */
	{"[]", CODE_ENOTAPPLICABLE, NULL},
	{"null", CODE_ENOTAPPLICABLE, NULL},
	{"{\"Mounts\":[]}", CODE_ENOTAPPLICABLE, NULL},
	{"{\"Mounts\":null}", CODE_ENOTAPPLICABLE, NULL},
	{"{\"rootfs\":[]}", CODE_ENOTAPPLICABLE, NULL},
	/* A container's own tree. */
	{"[{\"Type\":\"bind\",\"Source\":\"/a\",\"Options\":null}]", CODE_ENOTAPPLICABLE, NULL},
	{"[{\"type\":\"bind\",\"source\":\"/a\"}]", CODE_ENOTAPPLICABLE, NULL},
	{BIND("/a", "\"rbind\",\"rw\""), CODE_ENOTAPPLICABLE, NULL},
	{BIND("/a", "\"ro\",\"rbind,rw\""), CODE_ENOTAPPLICABLE, NULL},
	{BIND("/a", "\"ro=1\",\"row\",\"RO\""), CODE_ENOTAPPLICABLE, NULL},
	{"[{\"Type\":\"ext4\",\"Source\":\"/dev/dm-1\",\"Options\":[\"ro\"]}]", CODE_ENOTAPPLICABLE,
	 NULL},
	{"[{\"Type\":\"fuse3.nydus\",\"Source\":\"x\"}]", CODE_ENOTAPPLICABLE, NULL},
	{"[{\"Source\":\"x\"}]", CODE_ENOTAPPLICABLE, NULL},
	{"[{\"Type\":\"bind\",\"Source\":\"/a\"},{\"Type\":\"bind\",\"Source\":\"/b\"}]",
	 CODE_ENOTAPPLICABLE, NULL},
	{"[{\"Type\":\"bind\",\"Source\":\"/a\",\"Target\":\"/sub\"}]", CODE_ENOTAPPLICABLE, NULL},

	/* JSON that does not parse, or is of another shape. */
	{"", CODE_EUSAGE, NULL},
	{"[", CODE_EUSAGE, NULL},
	{"mount -t overlay overlay -o lowerdir=/a", CODE_EUSAGE, NULL},
	{OVERLAY("\"lowerdir=/a\"") "x", CODE_EUSAGE, NULL},
	{"1", CODE_EUSAGE, NULL},
	{"\"overlay\"", CODE_EUSAGE, NULL},
	{"{\"Mounts\":{}}", CODE_EUSAGE, NULL},
	{"{}", CODE_EUSAGE, NULL},
	{"{\"mount\":[]}", CODE_EUSAGE, NULL},
	{"{\"rootfs\":\"/r\",\"mounts\":[]}", CODE_EUSAGE, NULL},
	{"[null]", CODE_EUSAGE, NULL},
	{"[[]]", CODE_EUSAGE, NULL},
	{"[{\"Type\":1}]", CODE_EUSAGE, NULL},
	{"[{\"Type\":\"bind\",\"Source\":[]}]", CODE_EUSAGE, NULL},
	{"[{\"Type\":\"bind\",\"Source\":\"/a\",\"Target\":1}]", CODE_EUSAGE, NULL},
	{"[{\"Type\":\"bind\"}]", CODE_EUSAGE, NULL},
	{"[{\"Type\":\"bind\",\"Source\":\"\"}]", CODE_EUSAGE, NULL},
	{"[{\"Type\":\"overlay\",\"Options\":\"lowerdir=/a\"}]", CODE_EUSAGE, NULL},
	{"[{\"Type\":\"overlay\",\"Options\":{}}]", CODE_EUSAGE, NULL},
	{OVERLAY("1"), CODE_EUSAGE, NULL},
	{OVERLAY("null"), CODE_EUSAGE, NULL},
	{OVERLAY("\"lowerdir=/a::\""), CODE_EUSAGE, NULL},
	/* A NUL would hide the rest of a path. */
	{"[{\"Type\":\"bind\",\"Source\":\"/a\\u0000b\"}]", CODE_EUSAGE, NULL},
	{"[{\"Type\":\"bind\\u0000\",\"Source\":\"/a\"}]", CODE_EUSAGE, NULL},
	{OVERLAY("\"lowerdir=/a\\u0000b\""), CODE_EUSAGE, NULL},
};

static void test_each_form_of_mounts_gives_its_layers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		VIEW_ERROR(error);
		cleanup_with(overlay_options_done) struct overlay_options overlay = {};
		int r = mounts_parse(rows[i].text, strlen(rows[i].text), "--mounts=x", &overlay,
				     &error);

		/* Each sentence names the input. */
		same_error(rows[i].text, r, &error, rows[i].code, "--mounts=x");
		if (r == 0)
			same_str(rows[i].text, joined(&overlay.lowers), rows[i].lowers);
	}
}

static void test_the_options_of_a_mount_are_read(void **state)
{
	static const char text[] = OVERLAY("\"userxattr\",\"uidmap=0:1:2,3:4:5\",\"gidmap=6:7:8\","
					   "\"upperdir=/s/3/fs\",\"lowerdir=2/fs\",\"volatile\"");
	VIEW_ERROR(error);
	cleanup_with(overlay_options_done) struct overlay_options overlay = {};

	(void)state;
	assert_int_equal(mounts_parse(text, strlen(text), "x", &overlay, &error), 0);
	assert_true(overlay.userxattr);
	assert_int_equal(overlay.uids.count, 2);
	assert_int_equal(overlay.gids.count, 1);
	assert_string_equal(overlay.upper, "/s/3/fs");
}

static void test_a_file_of_mounts_is_read(void **state)
{
	VIEW_ERROR(error);
	cleanup_with(overlay_options_done) struct overlay_options overlay = {};

	(void)state;
	make_file("mounts.json", rows[0].text);
	assert_int_equal(mounts_read("mounts.json", "x", &overlay, &error), 0);
	assert_string_equal(joined(&overlay.lowers), "/l/2|/l/1");
	assert_int_equal(mounts_read("missing", "--mounts=missing", &overlay, &error), -ECANCELED);
	same_error("missing", -ECANCELED, &error, CODE_EUSAGE, "--mounts=missing: No such file");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_form_of_mounts_gives_its_layers),
		cmocka_unit_test(test_the_options_of_a_mount_are_read),
		scratch_test(test_a_file_of_mounts_is_read),
	};

	return cmocka_run_group_tests_name("source-mounts", tests, NULL, NULL);
}
