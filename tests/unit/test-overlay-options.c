/* SPDX-License-Identifier: Apache-2.0 */
/* Grammar: fs/overlayfs/params.c. Each row was tried on Linux 6.18. */
#include "fuse/cli/overlay-options.h"

#include "tests/unit/fixture-view.h"

/* Takes a whole list, as mount(2) would; what is none of overlayfs's lands in *unknown*. */
static int parse(const char *list, struct overlay_options *overlay, size_t *unknown,
		 struct view_error *error)
{
	cleanup_free char *copy = strdup(list);
	char *rest = copy;
	char *option;

	assert_non_null(copy);
	while ((option = overlay_options_next(&rest))) {
		char *value = strchr(option, '=');
		int r;

		if (value)
			*value++ = '\0';
		r = overlay_options_set(overlay, option, value, "here", error);
		if (r < 0)
			return r;
		*unknown += r == 0;
	}
	return 0;
}

static void test_lowerdir_is_read_as_overlayfs_reads_it(void **state)
{
	static const struct {
		const char *list;
		const char *lowers; /* joined by "|"; NULL: EUSAGE */
		bool data;
	} rows[] = {
		{"lowerdir=a:b:c", "a|b|c", false},
		{"lowerdir=a", "a", false},
		/* Escapes: the backslash of every "\c" is dropped, octal is not understood. */
		{"lowerdir=co\\:lon:b", "co:lon|b", false},
		{"lowerdir=co\\,mma:b", "co,mma|b", false},
		{"lowerdir=ba\\\\ck:b", "ba\\ck|b", false},
		{"lowerdir=\\b:sp\\ ace", "b|sp ace", false},
		{"lowerdir=co\\072lon", "co072lon", false},
		{"lowerdir=a\\\\:b", "a\\|b", false},
		{"lowerdir=a\\\\,index=off", "a\\", false},
		/* At the very end it escapes nothing, and is dropped too. */
		{"lowerdir=a:b\\", "a|b", false},
		{"lowerdir=a:b\\\\\\", "a|b\\", false},
		{"lowerdir=a:\\", NULL, false},
		{"lowerdir=\\", NULL, false},
		/* What needs none. */
		{"lowerdir=a=b:\"c\":#d:e\tf:g\nh:\xff", "a=b|\"c\"|#d|e\tf|g\nh|\xff", false},
		/* Empty parts. */
		{"lowerdir=", NULL, false},
		{"lowerdir=:a", NULL, false},
		{"lowerdir=a:", NULL, false},
		{"lowerdir=a:b:", NULL, false},
		{"lowerdir=a:::b", NULL, false},
		{"lowerdir=::a", NULL, false},
		{"lowerdir=a::", NULL, false},
		{"lowerdir=:", NULL, false},
		/* Data-only layers. */
		{"lowerdir=a::b", "a|b", true},
		{"lowerdir=a:b::c::d", "a|b|c|d", true},
		{"lowerdir=a,datadir+=b", "a", true},
		{"datadir+=b", "", true},
		/* The last lowerdir= wins, and resets what was before. */
		{"lowerdir=a:b,lowerdir=c", "c", false},
		{"lowerdir+=a,lowerdir=c", "c", false},
		{"lowerdir=a::b,lowerdir=c", "c", false},
		/* lowerdir+=: one layer each, literal, and never after lowerdir=. */
		{"lowerdir+=a,lowerdir+=b", "a|b", false},
		{"lowerdir+=a:b", "a:b", false},
		{"lowerdir+=a\\:b,lowerdir+=c\\\\d", "a\\:b|c\\\\d", false},
		{"lowerdir+=a\\,b", "a\\,b", false},
		{"lowerdir+=", NULL, false},
		{"lowerdir=a,lowerdir+=b", NULL, false},
		/* Split at plain commas only; empty options are none. */
		{",,lowerdir=a,", "a", false},
		{"", "", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		VIEW_ERROR(error);
		cleanup_with(overlay_options_done) struct overlay_options overlay = {};
		size_t unknown = 0;
		int r = parse(rows[i].list, &overlay, &unknown, &error);

		same_int(rows[i].list, r, rows[i].lowers ? 0 : -ECANCELED);
		same_int(rows[i].list, error.code, rows[i].lowers ? CODE_NONE : CODE_EUSAGE);
		if (!rows[i].lowers)
			continue;
		same_str(rows[i].list, joined(&overlay.lowers), rows[i].lowers);
		same_int(rows[i].list, overlay.has_data_layers, rows[i].data);
	}
}

/* overlayfs itself stops at 500 layers, and mount(2) at 4095 bytes. */
static void test_six_hundred_layers_are_read(void **state)
{
	VIEW_ERROR(error);
	cleanup_with(overlay_options_done) struct overlay_options overlay = {};
	char list[sizeof("lowerdir=") + 600 * sizeof("/long/enough")] = "lowerdir=";
	char *end = list + strlen(list);
	size_t unknown = 0;

	(void)state;
	for (int i = 0; i < 600; i++)
		end = stpcpy(end, i == 0 ? "/long/enough" : ":/long/enough");
	assert_int_equal(parse(list, &overlay, &unknown, &error), 0);
	assert_int_equal(overlay.lowers.count, 600);
	assert_string_equal(overlay.lowers.items[599], "/long/enough");
}

static void test_upperdir_and_userxattr_are_read_and_others_left(void **state)
{
	VIEW_ERROR(error);
	cleanup_with(overlay_options_done) struct overlay_options overlay = {};
	size_t unknown = 0;

	(void)state;
	assert_int_equal(
		parse("userxattr,upperdir=x,upperdir=/up\\,per/fs,ro,index=off,userxattr=1,"
		      "lowerdir,xino",
		      &overlay, &unknown, &error),
		0);
	assert_true(overlay.userxattr);
	assert_string_equal(overlay.upper, "/up,per/fs");
	assert_int_equal(unknown, 5);
	assert_int_equal(overlay.lowers.count, 0);
}

/* Ranges after a comma belong to the map before them. */
static void test_ranges_after_a_comma_belong_to_the_map_before(void **state)
{
	static const struct {
		const char *list;
		size_t uids, gids, unknown; /* uids of -1: EUSAGE */
	} rows[] = {
		{"uidmap=0:1:2", 1, 0, 0},
		{"uidmap=0:1:2,3:4:5,gidmap=6:7:8,9:10:11,12:13:14", 2, 3, 0},
		{"uidmap=0:1:2,gidmap=0:1:2,uidmap=3:4:5", 2, 1, 0},
		{"0:1:2", 0, 0, 1},
		{"uidmap=0:1:2,ro,3:4:5", 1, 0, 2},
		{"uidmap=0:1", SIZE_MAX, 0, 0},
		{"uidmap=", SIZE_MAX, 0, 0},
		{"gidmap=0:1:0", SIZE_MAX, 0, 0},
		{"uidmap=0:1:2,3:4", SIZE_MAX, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		VIEW_ERROR(error);
		cleanup_with(overlay_options_done) struct overlay_options overlay = {};
		size_t unknown = 0;
		bool fails = rows[i].uids == SIZE_MAX;

		same_int(rows[i].list, parse(rows[i].list, &overlay, &unknown, &error),
			 fails ? -ECANCELED : 0);
		same_int(rows[i].list, error.code, fails ? CODE_EUSAGE : CODE_NONE);
		if (fails)
			continue;
		same_int(rows[i].list, overlay.uids.count, rows[i].uids);
		same_int(rows[i].list, overlay.gids.count, rows[i].gids);
		same_int(rows[i].list, unknown, rows[i].unknown);
	}
}

static void test_a_range_is_told_from_a_name(void **state)
{
	static const char *const names[] = {"lowerdir", "lower", "ro", "", "1", "1:x", "1:2:a"};

	(void)state;
	assert_true(overlay_is_idmap_range("0:1:2"));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		same_int(names[i], overlay_is_idmap_range(names[i]), false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lowerdir_is_read_as_overlayfs_reads_it),
		cmocka_unit_test(test_six_hundred_layers_are_read),
		cmocka_unit_test(test_upperdir_and_userxattr_are_read_and_others_left),
		cmocka_unit_test(test_ranges_after_a_comma_belong_to_the_map_before),
		cmocka_unit_test(test_a_range_is_told_from_a_name),
	};

	return cmocka_run_group_tests_name("overlay", tests, NULL, NULL);
}
