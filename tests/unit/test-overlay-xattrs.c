/* SPDX-License-Identifier: Apache-2.0 */
/* Rules: fs/overlayfs/util.c; each row was seen to hold on a mounted overlay. */
#include "layerindex/layer/overlay-xattrs.h"

#include "layerindex/layer/whiteout.h"
#include "tests/unit/fixture.h"

#define T "trusted.overlay."
#define U "user.overlay."

enum { ALL = OVL_XATTR_WHITEOUT | OVL_XATTR_OPAQUE | OVL_XATTR_METACOPY | OVL_XATTR_REDIRECT };
enum { FILE_MARKS = OVL_XATTR_WHITEOUT | OVL_XATTR_METACOPY | OVL_XATTR_REDIRECT };
enum { DIR_MARKS = OVL_XATTR_OPAQUE | OVL_XATTR_REDIRECT };

static const struct row {
	const char *attributes[4]; /* name, value, name, value */
	bool is_dir, userxattr;
	unsigned wanted;
	int r;
	unsigned found;
} rows[] = {
	/* Opaque: exactly the one byte "y". */
	{{T "opaque", "y"}, true, false, DIR_MARKS, 0, OVL_XATTR_OPAQUE},
	{{T "opaque", "yes"}, true, false, DIR_MARKS, 0, 0},
	{{T "opaque", "y\n"}, true, false, DIR_MARKS, 0, 0},
	{{T "opaque", "Y"}, true, false, DIR_MARKS, 0, 0},
	{{T "opaque", "n"}, true, false, DIR_MARKS, 0, 0},
	{{T "opaque", ""}, true, false, DIR_MARKS, 0, 0},
	/* "x" only speaks of what a listing hides. */
	{{T "opaque", "x"}, true, false, DIR_MARKS, 0, 0},
	/* Exactly one namespace is read. */
	{{U "opaque", "y"}, true, true, DIR_MARKS, 0, OVL_XATTR_OPAQUE},
	{{U "opaque", "y"}, true, false, DIR_MARKS, 0, 0},
	{{T "opaque", "y"}, true, true, DIR_MARKS, 0, 0},
	{{T "overlay.opaque", "y"}, true, false, DIR_MARKS, 0, 0},
	/* Not asked for. */
	{{T "opaque", "y"}, true, false, 0, 0, 0},

	/* A whiteout's mark may have any value. */
	{{T "whiteout", ""}, false, false, FILE_MARKS, 0, OVL_XATTR_WHITEOUT},
	{{T "whiteout", "anything"}, false, false, FILE_MARKS, 0, OVL_XATTR_WHITEOUT},
	{{U "whiteout", "y"}, false, true, FILE_MARKS, 0, OVL_XATTR_WHITEOUT},
	{{U "whiteout", "y"}, false, false, FILE_MARKS, 0, 0},
	{{T "whiteout", "y", T "metacopy", "a"}, false, false, FILE_MARKS, 0, OVL_XATTR_WHITEOUT},

	/* Metacopy: empty or at least four bytes. */
	{{T "metacopy", ""}, false, false, FILE_MARKS, 0, OVL_XATTR_METACOPY},
	{{T "metacopy", "a"}, false, false, FILE_MARKS, -EIO, 0},
	{{T "metacopy", "abc"}, false, false, FILE_MARKS, -EIO, 0},
	{{T "metacopy", "abcd"}, false, false, FILE_MARKS, 0, OVL_XATTR_METACOPY},
	{{T "metacopy", ""}, false, true, FILE_MARKS, 0, 0},

	/* Redirect: absolute with no empty component, or one name. */
	{{T "redirect", "/old"}, true, false, DIR_MARKS, 0, OVL_XATTR_REDIRECT},
	{{T "redirect", "/p/old"}, true, false, DIR_MARKS, 0, OVL_XATTR_REDIRECT},
	{{T "redirect", "old"}, true, false, DIR_MARKS, 0, OVL_XATTR_REDIRECT},
	{{U "redirect", "old"}, true, true, DIR_MARKS, 0, OVL_XATTR_REDIRECT},
	{{T "redirect", ""}, true, false, DIR_MARKS, -EINVAL, 0},
	{{T "redirect", "/"}, true, false, DIR_MARKS, -EINVAL, 0},
	{{T "redirect", "//x"}, true, false, DIR_MARKS, -EINVAL, 0},
	{{T "redirect", "/x/"}, true, false, DIR_MARKS, -EINVAL, 0},
	{{T "redirect", "a/b"}, true, false, DIR_MARKS, -EINVAL, 0},
	/* opaque=y wins over a redirect, be it invalid. */
	{{T "opaque", "y", T "redirect", "a/b"}, true, false, DIR_MARKS, 0, OVL_XATTR_OPAQUE},
	/* On a file it is read only beside metacopy. */
	{{T "redirect", "a/b"}, false, false, FILE_MARKS, 0, 0},
	{{T "metacopy", "", T "redirect", "/g"},
	 false,
	 false,
	 FILE_MARKS,
	 0,
	 OVL_XATTR_METACOPY | OVL_XATTR_REDIRECT},
	{{T "metacopy", "", T "redirect", "a/b"}, false, false, FILE_MARKS, -EINVAL, 0},

	/* What upper layers leave behind. */
	{{T "origin", "garbage", T "impure", "y"}, false, false, ALL, 0, 0},
	{{NULL}, false, false, ALL, 0, 0},
};

static void check_row(const struct row *row, size_t i)
{
	char name[32];
	unsigned found = 0;
	cleanup_close int fd = -EBADF;
	bool invalid;

	snprintf(name, sizeof(name), "row-%zu", i);
	if (row->is_dir)
		make_dir(name);
	else
		make_file(name, "");
	for (size_t a = 0; a < 4 && row->attributes[a]; a += 2)
		make_mark(name, row->attributes[a], row->attributes[a + 1],
			  strlen(row->attributes[a + 1]));
	fd = open(name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	assert_return_code(fd, errno);
	same_int(name,
		 overlay_xattrs_read(fd, row->wanted, row->userxattr, row->is_dir, &found,
				     &invalid),
		 row->r);
	same_int(name, row->r < 0 && !invalid, false);
	same_int(name, found, row->found);
}

static void test_marks_are_read_as_overlayfs_reads_them(void **state)
{
	(void)state;
	require_root();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_row(&rows[i], i);
}

static void test_trusted_marks_are_visible_to_root(void **state)
{
	(void)state;
	require_root();
	assert_int_equal(overlay_xattrs_visible(true), 0);
	assert_int_equal(overlay_xattrs_visible(false), 0);
}

/* Root of another user namespace has all capabilities, and still no trusted.* attributes. */
static int in_user_namespace(void)
{
	if (unshare(CLONE_NEWUSER) < 0)
		return 77;
	return overlay_xattrs_visible(false) == -EPERM && overlay_xattrs_visible(true) == 0 ? 0 : 1;
}

static void test_only_user_marks_are_visible_in_a_user_namespace(void **state)
{
	int r = in_child(in_user_namespace);

	(void)state;
	require(r != 77, "no user namespaces here");
	assert_int_equal(r, 0);
}

/* A mark that cannot be read for want of /proc must not pass for none. */
static int without_proc(void)
{
	int fd = open("d", O_PATH | O_CLOEXEC);
	unsigned found;
	bool invalid;

	if (fd < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
	    umount2("/proc", MNT_DETACH) < 0)
		return 77;
	if (overlay_xattrs_visible(true) != -ENOSYS || overlay_xattrs_visible(false) != -ENOSYS)
		return 1;
	if (overlay_xattrs_read(fd, OVL_XATTR_OPAQUE, false, true, &found, &invalid) != -ESTALE ||
	    overlay_xattrs_read(fd, OVL_XATTR_REDIRECT, false, true, &found, &invalid) != -ESTALE)
		return 2;
	if (overlay_xattrs_read(fd, OVL_XATTR_WHITEOUT, false, false, &found, &invalid) !=
		    -ESTALE ||
	    overlay_xattrs_read(fd, OVL_XATTR_METACOPY, true, false, &found, &invalid) != -ESTALE)
		return 3;
	return 0;
}

static void test_marks_without_proc_are_an_error(void **state)
{
	int r;

	(void)state;
	require_root();
	make_dir("d");
	r = in_child(without_proc);
	require(r != 77, "no private /proc here");
	assert_int_equal(r, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_marks_are_read_as_overlayfs_reads_them),
		cmocka_unit_test(test_trusted_marks_are_visible_to_root),
		cmocka_unit_test(test_only_user_marks_are_visible_in_a_user_namespace),
		scratch_test(test_marks_without_proc_are_an_error),
	};

	return cmocka_run_group_tests_name("marks", tests, NULL, NULL);
}
