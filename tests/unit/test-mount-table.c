/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/mount/mount-table.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "fuse/base/log.h"
#include "tests/unit/fixture.h"

/* Of a memfd: a build's chroot may have no /tmp. */
static int read_text(const char *text, struct libmnt_table **ret)
{
	cleanup_close int fd = memfd_create("test-mount-table", MFD_CLOEXEC);
	char path[32];

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return mount_table_read(path, ret);
}

/* Wherever the bad line is, the others are read. */
static void test_a_bad_line_is_skipped(void **state)
{
	static const char *const texts[] = {
		"1 2 bad\n1 2 0:3 / /a rw - tmpfs one rw\n4 5 0:6 /r /b\\040c rw - fuse.x two rw\n",
		"1 2 0:3 / /a rw - tmpfs one rw\nbad\n4 5 0:6 /r /b\\040c rw - fuse.x two rw\n",
		("1 2 0:3 / /a rw - tmpfs one rw\n4 x 0:6 /z /z rw - fuse.x two rw\n"
		 "4 5 0:6 /r /b\\040c rw - fuse.x two rw\n"),
		"1 2 0:3 / /a rw - tmpfs one rw\n4 5 0:6 /r /b\\040c rw - fuse.x two rw\n7 8 0:9",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		cleanup_with(mount_iter_done) struct libmnt_iter *iter =
			mnt_new_iter(MNT_ITER_FORWARD);
		cleanup_with(mount_table_done) struct libmnt_table *table = NULL;
		struct mount_entry entry;
		const char *super;

		assert_non_null(iter);
		assert_int_equal(read_text(texts[i], &table), 0);
		assert_true(mount_table_next(table, iter, &entry, &super));
		assert_string_equal(entry.mountpoint, "/a");
		assert_true(mount_table_next(table, iter, &entry, &super));
		assert_int_equal(entry.id, 4);
		assert_true(entry.device == makedev(0, 6));
		assert_string_equal(entry.root, "/r");
		assert_string_equal(entry.mountpoint, "/b c");
		assert_string_equal(entry.type, "fuse.x");
		assert_string_equal(entry.source, "two");
		assert_false(mount_table_next(table, iter, &entry, &super));
	}
}

static void test_the_mounts_of_this_process_are_read(void **state)
{
	cleanup_with(mount_iter_done) struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
	cleanup_with(mount_table_done) struct libmnt_table *table = NULL;
	struct mount_entry entry;
	const char *super;

	(void)state;
	assert_int_equal(mount_table_read(NULL, &table), 0);
	assert_true(mount_table_next(table, iter, &entry, &super));
}

static void test_a_missing_table_is_enoent(void **state)
{
	cleanup_with(mount_table_done) struct libmnt_table *table = NULL;

	(void)state;
	assert_int_equal(mount_table_read("/nowhere", &table), -ENOENT);
	assert_null(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_bad_line_is_skipped),
		cmocka_unit_test(test_the_mounts_of_this_process_are_read),
		cmocka_unit_test(test_a_missing_table_is_enoent),
	};

	log_setup("test-mount-table", &(struct log_options){.level = LOG_LEVEL_ERROR});
	return cmocka_run_group_tests(tests, NULL, NULL);
}
