/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/store/store.h"

#include "tests/unit/fixture-store.h"

static void test_a_failure_is_remembered_for_ten_minutes(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	const struct li_digest manifest = {{1, 2}}, other = {{2}};
	struct li_store_failure failure = {.code = 5, .text = "it is cut"}, got = {};
	struct timespec times[2] = {{.tv_sec = time(NULL) - LI_STORE_FAILURE_SECONDS}};
	char path[128] = "store/failed/";

	(void)state;
	assert_int_equal(li_store_failure_find(store, &manifest, &got), -ENOENT);
	assert_int_equal(li_store_failure_add(store, &manifest, &failure), 0);
	assert_int_equal(li_store_failure_find(store, &manifest, &got), 0);
	assert_int_equal(got.code, 5);
	assert_string_equal(got.text, "it is cut");
	assert_int_equal(li_store_failure_find(store, &other, &got), -ENOENT);
	li_digest_print(&manifest, path + strlen(path));
	assert_return_code(truncate(path, 20), errno);
	assert_int_equal(li_store_failure_find(store, &manifest, &got), -EINVAL);
	assert_int_equal(li_store_failure_add(store, &manifest, &failure), 0);
	times[1] = times[0];
	assert_return_code(utimensat(AT_FDCWD, path, times, 0), errno);
	assert_int_equal(li_store_failure_find(store, &manifest, &got), -ENOENT);
	/* The next one removes it. */
	assert_int_equal(li_store_failure_add(store, &other, &failure), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(li_store_clear(store), 0);
	assert_int_equal(count_files("store"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_a_failure_is_remembered_for_ten_minutes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
