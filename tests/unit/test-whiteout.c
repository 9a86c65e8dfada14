/* SPDX-License-Identifier: Apache-2.0 */
/* Rules: fs/overlayfs/namei.c, ovl_lookup_single(), as layerindex/layer/whiteout.h states them. */
#include "layerindex/layer/whiteout.h"

#include "tests/unit/fixture.h"

static void test_only_marks_that_can_count_are_read(void **state)
{
	static const struct {
		const char *name;
		struct entry_facts facts;
		bool last;
		unsigned want;
	} rows[] = {
		{"directory", {.mode = S_IFDIR}, false, OVL_XATTR_OPAQUE | OVL_XATTR_REDIRECT},
		/* Neither is read on the last layer of the parent's stack. */
		{"last directory", {.mode = S_IFDIR}, true, 0},
		/* Only an empty regular file can be a whiteout by its mark. */
		{"empty file",
		 {.mode = S_IFREG},
		 false,
		 OVL_XATTR_WHITEOUT | OVL_XATTR_METACOPY | OVL_XATTR_REDIRECT},
		{"empty last file",
		 {.mode = S_IFREG},
		 true,
		 OVL_XATTR_WHITEOUT | OVL_XATTR_METACOPY},
		{"file",
		 {.mode = S_IFREG, .size = 1},
		 false,
		 OVL_XATTR_METACOPY | OVL_XATTR_REDIRECT},
		/* Metacopy counts in any layer, the bottom one too. */
		{"last file", {.mode = S_IFREG, .size = 1}, true, OVL_XATTR_METACOPY},
		{"symlink", {.mode = S_IFLNK}, false, 0},
		{"whiteout", {.mode = S_IFCHR}, false, 0},
		{"block device", {.mode = S_IFBLK}, false, 0},
		{"FIFO", {.mode = S_IFIFO}, false, 0},
		{"socket", {.mode = S_IFSOCK}, false, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		same_int(rows[i].name, overlay_xattrs_wanted(&rows[i].facts, rows[i].last),
			 rows[i].want);
}

static void test_each_kind_of_entry_is_classified(void **state)
{
	const struct {
		const char *name;
		struct entry_facts facts;
		enum entry_class want;
	} rows[] = {
		/* Nothing but the type and the device number counts. */
		{"chr 0:0", {.mode = S_IFCHR}, ENTRY_WHITEOUT},
		{"chr 0:0, mode 0666", {.mode = S_IFCHR | 0666}, ENTRY_WHITEOUT},
		{"chr 0:1", {.mode = S_IFCHR, .rdev = makedev(0, 1)}, ENTRY_LEAF},
		{"chr 1:3", {.mode = S_IFCHR, .rdev = makedev(1, 3)}, ENTRY_LEAF},
		{"blk 0:0", {.mode = S_IFBLK}, ENTRY_LEAF},
		{"marked file", {.mode = S_IFREG, .marks = OVL_XATTR_WHITEOUT}, ENTRY_WHITEOUT},
		{"file", {.mode = S_IFREG}, ENTRY_LEAF},
		{"symlink", {.mode = S_IFLNK}, ENTRY_LEAF},
		{"FIFO", {.mode = S_IFIFO}, ENTRY_LEAF},
		{"socket", {.mode = S_IFSOCK}, ENTRY_LEAF},
		{"directory", {.mode = S_IFDIR}, ENTRY_DIR},
		{"opaque", {.mode = S_IFDIR, .marks = OVL_XATTR_OPAQUE}, ENTRY_DIR_LAST},
		{"redirect", {.mode = S_IFDIR, .marks = OVL_XATTR_REDIRECT}, ENTRY_REFUSED},
		/* opaque=y wins over redirect. */
		{"opaque redirect",
		 {.mode = S_IFDIR, .marks = OVL_XATTR_OPAQUE | OVL_XATTR_REDIRECT},
		 ENTRY_DIR_LAST},
		{"metacopy", {.mode = S_IFREG, .marks = OVL_XATTR_METACOPY}, ENTRY_REFUSED},
		{"metacopy redirect",
		 {.mode = S_IFREG, .marks = OVL_XATTR_METACOPY | OVL_XATTR_REDIRECT},
		 ENTRY_REFUSED},
		/* A redirect on a plain file is ignored. */
		{"file redirect", {.mode = S_IFREG, .marks = OVL_XATTR_REDIRECT}, ENTRY_LEAF},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		same_int(rows[i].name, entry_classify(&rows[i].facts), rows[i].want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_marks_that_can_count_are_read),
		cmocka_unit_test(test_each_kind_of_entry_is_classified),
	};

	return cmocka_run_group_tests_name("whiteout", tests, NULL, NULL);
}
