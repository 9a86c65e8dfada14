/* SPDX-License-Identifier: Apache-2.0 */
/* Lines as Linux 6.18 printed them, and lines that it would not print. */
#include "fuse/mount/mountinfo.h"

#include <sys/sysmacros.h>

#include "tests/unit/fixture.h"

static void test_each_field_of_a_line_is_read(void **state)
{
	const struct {
		const char *line;
		struct mount_entry want;
	} rows[] = {
		{"424 70 0:78 / /lab/m ro,relatime - overlay overlay "
		 "ro,lowerdir=/lab/sp\\040ace:/lab/co\\134\\054mma:/lab/"
		 "co\\134:lon,redirect_dir=on",
		 {424, makedev(0, 78), (char *)"/", (char *)"/lab/m", (char *)"overlay",
		  (char *)"overlay",
		  (char *)"ro,lowerdir=/lab/sp\\040ace:/lab/co\\134\\054mma:/lab/co\\134:lon,"
			  "redirect_dir=on",
		  true, true}},
		/* Any number of optional fields. */
		{"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw",
		 {36, makedev(98, 0), (char *)"/mnt1", (char *)"/mnt2", (char *)"ext3",
		  (char *)"/dev/root", (char *)"rw", false, false}},
		{"36 35 98:0 /a\\040b /c\\011d\\012e\\134f rw - fuse.a\\040b my\\040label ro",
		 {36, makedev(98, 0), (char *)"/a b", (char *)"/c\td\ne\\f", (char *)"fuse.a b",
		  (char *)"my label", (char *)"ro", false, true}},
		/* fsconfig(2) leaves the source "none", and mount(2) may leave it empty. */
		{"1 2 0:3 / /m rw - overlay none ro,lowerdir+=/q/co\\054mma,lowerdir+=/q/co:lon",
		 {1, makedev(0, 3), (char *)"/", (char *)"/m", (char *)"overlay", (char *)"none",
		  (char *)"ro,lowerdir+=/q/co\\054mma,lowerdir+=/q/co:lon", false, true}},
		{"1 2 0:3 / /m rw - tmpfs  rw",
		 {1, makedev(0, 3), (char *)"/", (char *)"/m", (char *)"tmpfs", (char *)"",
		  (char *)"rw", false, false}},
		/* A bind that is read-only, and an option that only begins like that. */
		{"1 2 8:1 /b /m ro - ext4 /dev/sda1 rom=1",
		 {1, makedev(8, 1), (char *)"/b", (char *)"/m", (char *)"ext4", (char *)"/dev/sda1",
		  (char *)"rom=1", true, false}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *line = strdup(rows[i].line);
		struct mount_entry entry;

		assert_non_null(line);
		same_int(rows[i].line, mount_entry_parse(line, &entry), 0);
		same_int(rows[i].line, entry.id, rows[i].want.id);
		same_int(rows[i].line, entry.device, rows[i].want.device);
		same_str(rows[i].line, entry.root, rows[i].want.root);
		same_str(rows[i].line, entry.mountpoint, rows[i].want.mountpoint);
		same_str(rows[i].line, entry.type, rows[i].want.type);
		same_str(rows[i].line, entry.source, rows[i].want.source);
		same_str(rows[i].line, entry.super, rows[i].want.super);
		same_int(rows[i].line, entry.read_only, rows[i].want.read_only);
		same_int(rows[i].line, entry.filesystem_read_only,
			 rows[i].want.filesystem_read_only);
	}
}

static void test_a_malformed_line_is_rejected(void **state)
{
	static const char whole[] =
		"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw";
	static const char *const rows[] = {
		"",
		"-",
		"      -   ",
		"x 35 98:0 /mnt1 /mnt2 rw - ext3 /dev/root rw",
		"-1 35 98:0 /mnt1 /mnt2 rw - ext3 /dev/root rw",
		"2147483648 35 98:0 /mnt1 /mnt2 rw - ext3 /dev/root rw",
		"18446744073709551616 35 98:0 /mnt1 /mnt2 rw - ext3 /dev/root rw",
		"36 35 98:0 /mnt1 /mnt2 rw ext3 /dev/root rw",
		"36 35 98 /mnt1 /mnt2 rw - ext3 /dev/root rw",
		"36 35 98: /mnt1 /mnt2 rw - ext3 /dev/root rw",
		"36 35 98:0:1 /mnt1 /mnt2 rw - ext3 /dev/root rw",
		"36 35 -98:0 /mnt1 /mnt2 rw - ext3 /dev/root rw",
		"36 35 98:4294967296 /mnt1 /mnt2 rw - ext3 /dev/root rw",
		"36 35 00000000000000098:0 /mnt1 /mnt2 rw - ext3 /dev/root rw",
		/* Nothing but the source may be empty. */
		"36  98:0 /mnt1 /mnt2 rw - ext3 /dev/root rw",
		"36 35  /mnt1 /mnt2 rw - ext3 /dev/root rw",
		"36 35 98:0  /mnt2 rw - ext3 /dev/root rw",
		"36 35 98:0 /mnt1  rw - ext3 /dev/root rw",
		"36 35 98:0 /mnt1 /mnt2  - ext3 /dev/root rw",
		"36 35 98:0 /mnt1 /mnt2 rw -  /dev/root rw",
		"36 35 98:0 /mnt1 /mnt2 rw - ext3 /dev/root ",
	};
	struct mount_entry entry;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *line = strdup(rows[i]);

		assert_non_null(line);
		same_int(rows[i], mount_entry_parse(line, &entry), -EINVAL);
	}
	/* Cut anywhere before the last field. */
	for (size_t n = 0; n < strlen(whole) - strlen(" rw"); n++) {
		cleanup_free char *line = strndup(whole, n);

		assert_non_null(line);
		same_int(whole + n, mount_entry_parse(line, &entry), -EINVAL);
	}
}

static int find(const char *path, struct mount_entry *entry, char **line)
{
	cleanup_close int fd = open(path, O_PATH | O_CLOEXEC);

	assert_return_code(fd, errno);
	return mountinfo_find(fd, entry, line);
}

static void test_the_topmost_mount_at_a_path_is_found(void **state)
{
	struct mount_entry entry;
	cleanup_free char *line = NULL;
	cleanup_free char *upper = NULL;

	(void)state;
	private_mounts();
	make_dir("sp ace/inside");
	assert_int_equal(find("sp ace", &entry, &line), 0);
	assert_return_code(mount("lower", "sp ace", "tmpfs", 0, NULL), errno);
	assert_int_equal(find("sp ace", &entry, &line), 1);
	assert_string_equal(entry.source, "lower");
	assert_string_equal(entry.type, "tmpfs");
	has_str("mountpoint", entry.mountpoint, "/sp ace");
	make_dir("sp ace/inside");
	assert_int_equal(find("sp ace/inside", &entry, &upper), 0);
	assert_null(upper);
	/* The topmost of those that lie on one another. */
	assert_return_code(mount("upper", "sp ace", "tmpfs", 0, NULL), errno);
	assert_int_equal(find("sp ace", &entry, &upper), 1);
	assert_string_equal(entry.source, "upper");
	assert_return_code(umount("sp ace"), errno);
	assert_return_code(umount("sp ace"), errno);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_field_of_a_line_is_read),
		cmocka_unit_test(test_a_malformed_line_is_rejected),
		scratch_test(test_the_topmost_mount_at_a_path_is_found),
	};

	return cmocka_run_group_tests_name("mountinfo", tests, NULL, NULL);
}
