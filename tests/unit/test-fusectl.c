/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/mount/fusectl.h"

#include "fuse/mount/mount-api.h"
#include "tests/unit/fixture.h"

struct connection {
	int fuse, root; /* owned */
};

/* A FUSE filesystem that is mounted nowhere, and whose first request was not read. */
static struct connection connect_fuse(void)
{
	cleanup_close int context = -EBADF;
	struct connection made;
	char fd[16];

	require_root();
	made.fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	require(made.fuse >= 0, "no /dev/fuse");
	context = mount_context("fuse");
	assert_true(context >= 0);
	snprintf(fd, sizeof(fd), "%d", made.fuse);
	assert_int_equal(mount_option(context, "fd", fd), 0);
	assert_int_equal(mount_option(context, "rootmode", "40000"), 0);
	assert_int_equal(mount_option(context, "user_id", "0"), 0);
	assert_int_equal(mount_option(context, "group_id", "0"), 0);
	made.root = mount_make(context, true);
	assert_true(made.root >= 0);
	return made;
}

static void connection_done(struct connection *made)
{
	close(made->root);
	close(made->fuse);
}

static void check_abort(void)
{
	struct connection made = connect_fuse(), other = connect_fuse();
	uint64_t waiting = 0;
	char request[64 << 10];

	assert_int_equal(fusectl_waiting(made.root, &waiting), 0);
	assert_int_equal(waiting, 1);
	assert_int_equal(fusectl_abort(made.root), 0);
	assert_int_equal(read(made.fuse, request, sizeof(request)), -1);
	assert_int_equal(errno, ENODEV);
	/* It ends once, and only it. */
	assert_int_equal(fusectl_abort(made.root), 0);
	assert_true(read(other.fuse, request, sizeof(request)) > 0);
	connection_done(&made);
	connection_done(&other);
}

static void test_it_ends_the_connection_of_the_descriptor_and_no_other(void **state)
{
	(void)state;
	check_abort();
}

static void test_the_host_need_not_have_fusectl_mounted(void **state)
{
	pid_t pid = fork();
	int status = 0;

	(void)state;
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
			_exit(77);
		/* In its place something that only has its name. */
		if (mount("none", "/sys/fs/fuse/connections", "tmpfs", 0, NULL) < 0)
			_exit(77);
		check_abort();
		_exit(0);
	}
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

static void test_other_filesystems_have_no_connection(void **state)
{
	static const char *const paths[] = {"/", "/proc", "/dev/null"};
	uint64_t waiting;

	(void)state;
	if (geteuid() != 0)
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		cleanup_close int fd = open(paths[i], O_PATH | O_CLOEXEC);

		same_int(paths[i], fusectl_abort(fd), -ENOENT);
		same_int(paths[i], fusectl_waiting(fd, &waiting), -ENOENT);
	}
	assert_int_equal(fusectl_abort(-1), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_ends_the_connection_of_the_descriptor_and_no_other),
		cmocka_unit_test(test_the_host_need_not_have_fusectl_mounted),
		cmocka_unit_test(test_other_filesystems_have_no_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
