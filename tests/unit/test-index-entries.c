/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ctl/index-entries.h"

#include <time.h>

#include "tests/unit/fixture-view.h"

static void use(const char *path, time_t when, long ns)
{
	const struct timespec times[] = {{when, ns}, {when, ns}};

	assert_return_code(utimensat(AT_FDCWD, path, times, 0), errno);
}

static void test_entries_are_ordered_by_last_use(void **state)
{
	static const char *const want[] = {"c", "a", "d", "b"};
	cleanup_with(index_entries_done) struct index_entries entries = {};
	VIEW_ERROR(error);
	uint64_t bytes = 0;

	(void)state;
	assert_return_code(mkdir("index", 0700), errno);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		char path[64] = "index/";

		memset(path + strlen(path), *want[i], 32);
		make_file(path, "damaged");
		/* The two in the middle at once. */
		use(path, i == 0 ? 2000 : 1000, i == 3 ? 1 : 2);
	}
	assert_int_equal(index_entries_read("index", &entries, &error), 0);
	assert_int_equal(entries.count, ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		assert_int_equal(entries.items[i].name[0], *want[i]);
		assert_int_equal(entries.items[i].state, LI_ENTRY_DAMAGED);
		assert_string_equal(entries.items[i].layer, "");
		bytes += entries.items[i].bytes;
	}
	assert_int_equal(entries.bytes, bytes);
}

static void test_three_hundred_entries_are_read(void **state)
{
	cleanup_with(index_entries_done) struct index_entries entries = {};
	VIEW_ERROR(error);

	(void)state;
	assert_return_code(mkdir("index", 0700), errno);
	for (int i = 0; i < 300; i++) {
		char path[64];

		snprintf(path, sizeof(path), "index/%032x", i);
		make_file(path, "");
	}
	assert_int_equal(index_entries_read("index", &entries, &error), 0);
	assert_int_equal(entries.count, 300);
}

static void test_an_unsafe_or_missing_directory_is_reported(void **state)
{
	static const struct {
		const char *path;
		enum view_code code;
		const char *part;
	} rows[] = {
		{"index", CODE_NONE, NULL},
		{"missing", CODE_NONE, NULL},
		{"open", CODE_ESYSTEM,
		 "layer index 'open' belongs to another user, or other users may"},
		{"file", CODE_ESYSTEM, "layer index 'file': Not a directory"},
	};

	(void)state;
	make_dir("index");
	make_dir("open");
	make_file("file", "");
	assert_return_code(chmod("open", 0777), errno);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct index_entries entries = {};
		VIEW_ERROR(error);
		int r = index_entries_read(rows[i].path, &entries, &error);

		same_error(rows[i].path, r, &error, rows[i].code, rows[i].part);
		same_int(rows[i].path, entries.count, 0);
		index_entries_done(&entries);
		index_entries_done(&entries);
	}
}

static void test_entries_out_of_use_are_useless(void **state)
{
	time_t now = time(NULL);
	const struct {
		enum li_entry_state state;
		time_t used;
		bool useless;
	} rows[] = {
		{LI_ENTRY_CURRENT, 0, false},
		{LI_ENTRY_STALE, now, true},
		{LI_ENTRY_DAMAGED, now, true},
		{LI_ENTRY_TEMPORARY, now - 50, false},
		{LI_ENTRY_TEMPORARY, now + 3600, false},
		{LI_ENTRY_TEMPORARY, now - 61, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct li_index_entry entry = {
			.state = rows[i].state,
			.used.tv_sec = rows[i].used,
		};

		same_int(index_state_name(rows[i].state), index_entry_is_useless(&entry),
			 rows[i].useless);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_entries_are_ordered_by_last_use),
		scratch_test(test_three_hundred_entries_are_read),
		scratch_test(test_an_unsafe_or_missing_directory_is_reported),
		cmocka_unit_test(test_entries_out_of_use_are_useless),
	};

	return cmocka_run_group_tests_name("cache-entries", tests, NULL, NULL);
}
