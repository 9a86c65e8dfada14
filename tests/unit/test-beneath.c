/* SPDX-License-Identifier: Apache-2.0 */
/* Every rule holds with openat2(2) and without it. */
#include "layerindex/layer/beneath.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "tests/unit/fixture.h"

enum { LONG_NAMES = 20 }; /* times 256 bytes: beyond PATH_MAX */

static int here(void)
{
	int fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	assert_return_code(fd, errno);
	return fd;
}

/* Opens *path*; returns the file's type, or a negative errno value. */
static int type_of(const char *path, bool no_openat2)
{
	cleanup_close int dir = here();
	cleanup_close int fd = open_beneath(dir, path, &no_openat2);
	struct stat st;

	if (fd < 0)
		return fd;
	assert_return_code(fstat(fd, &st), errno);
	/* O_PATH, as itself, and never inherited. */
	assert_int_equal(fcntl(fd, F_GETFL) & O_PATH, O_PATH);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	return st.st_mode & S_IFMT;
}

/* valgrind has none, as old kernels. */
static bool has_openat2(void)
{
	return syscall(SYS_openat2, -1, "", NULL, 0) < 0 && errno != ENOSYS;
}

static void test_each_type_is_opened_or_refused_by_both_ways(void **state)
{
	static char too_long[256 + 1];
	const struct {
		const char *path;
		int openat2, openat;
	} rows[] = {
		{"", S_IFDIR, S_IFDIR},
		{"d", S_IFDIR, S_IFDIR},
		{"d/f", S_IFREG, S_IFREG},
		{"l", S_IFLNK, S_IFLNK},
		{"dangling", S_IFLNK, S_IFLNK},
		{"fifo", S_IFIFO, S_IFIFO},
		{"whiteout", S_IFCHR, S_IFCHR},
		{"missing", -ENOENT, -ENOENT},
		{"missing/f", -ENOENT, -ENOENT},
		{"d/f/x", -ENOTDIR, -ENOTDIR},
		/* Never crossed: one call says ELOOP, step by step the link is no directory. */
		{"l/f", -ELOOP, -ENOTDIR},
		{too_long, -ENAMETOOLONG, -ENAMETOOLONG},
	};

	(void)state;
	require_root();
	memset(too_long, 'n', sizeof(too_long) - 1);
	make_file("d/f", "content");
	make_link("d", "l");
	make_link("/nope", "dangling");
	make_node("fifo", S_IFIFO | 0600, 0);
	make_whiteout("whiteout");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		same_int(rows[i].path, type_of(rows[i].path, false),
			 has_openat2() ? rows[i].openat2 : rows[i].openat);
		same_int(rows[i].path, type_of(rows[i].path, true), rows[i].openat);
	}
}

static void test_self_is_a_copy(void **state)
{
	cleanup_close int dir = here();
	bool no_openat2 = false;
	cleanup_close int fd = open_beneath(dir, "", &no_openat2);

	(void)state;
	assert_return_code(fd, errno);
	assert_int_not_equal(fd, dir);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

static void test_a_path_longer_than_path_max_is_opened(void **state)
{
	char name[255 + 1];
	char path[LONG_NAMES * sizeof(name) + sizeof("f")];
	char *end = path;
	cleanup_close int at = here();

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (int i = 0; i < LONG_NAMES; i++) {
		int next;

		assert_return_code(mkdirat(at, name, 0755), errno);
		next = openat(at, name, O_PATH | O_CLOEXEC);
		assert_return_code(next, errno);
		close(at);
		at = next;
		end = stpcpy(stpcpy(end, name), "/");
	}
	assert_true(end - path > 4095);
	assert_return_code(mknodat(at, "f", S_IFREG | 0600, 0), errno);
	stpcpy(end, "f");
	assert_int_equal(type_of(path, false), S_IFREG);
	assert_int_equal(type_of(path, true), S_IFREG);
	stpcpy(end, "g");
	assert_int_equal(type_of(path, false), -ENOENT);
	assert_int_equal(type_of(path, true), -ENOENT);
}

static void test_mounts_are_not_crossed(void **state)
{
	static const char *const paths[] = {"tmpfs", "tmpfs/f", "bind", "bind/f", "file"};

	(void)state;
	private_mounts();
	make_dir("tmpfs");
	make_dir("bind");
	make_file("d/f", "content");
	make_file("file", "covered");
	assert_return_code(mount("none", "tmpfs", "tmpfs", 0, NULL), errno);
	/* Of the same filesystem: no device number would tell. */
	assert_return_code(mount("d", "bind", "none", MS_BIND, NULL), errno);
	assert_return_code(mount("d/f", "file", "none", MS_BIND, NULL), errno);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		same_int(paths[i], type_of(paths[i], false), -EXDEV);
		same_int(paths[i], type_of(paths[i], true), -EXDEV);
	}
	assert_return_code(umount("tmpfs"), errno);
	assert_return_code(umount("bind"), errno);
	assert_return_code(umount("file"), errno);
	assert_int_equal(type_of("bind", false), S_IFDIR);
}

/* openat2(2) fails as an old kernel or a container's seccomp filter makes it fail. */
static int refused(int error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {ARRAY_SIZE(filter), filter};
	int dir = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool no_openat2 = false;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		return 77;
	if (open_beneath(dir, "d/f", &no_openat2) < 0 || !no_openat2)
		return 1;
	return open_beneath(dir, "d/missing", &no_openat2) == -ENOENT ? 0 : 2;
}

static int refused_enosys(void)
{
	return refused(ENOSYS);
}

static int refused_eperm(void)
{
	return refused(EPERM);
}

static void test_a_refused_openat2_is_replaced(void **state)
{
	int r;

	(void)state;
	make_file("d/f", "content");
	r = in_child(refused_enosys);
	require(r != 77, "no seccomp filters here");
	assert_int_equal(r, 0);
	assert_int_equal(in_child(refused_eperm), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_each_type_is_opened_or_refused_by_both_ways),
		scratch_test(test_self_is_a_copy),
		scratch_test(test_a_path_longer_than_path_max_is_opened),
		scratch_test(test_mounts_are_not_crossed),
		scratch_test(test_a_refused_openat2_is_replaced),
	};

	return cmocka_run_group_tests_name("beneath", tests, NULL, NULL);
}
