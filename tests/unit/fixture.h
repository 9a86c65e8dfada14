/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the unit tests share: a private directory to make files in, which is the working directory
 * of a scratch_test(), and comparisons that name the row of a table.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "layerindex/cleanup.h"

#define ARRAY_SIZE(ARRAY) (sizeof(ARRAY) / sizeof(*(ARRAY)))

/* What a row is called in a failure's message. */
#define same_int(ROW, GOT, WANT)                                                    \
	do {                                                                        \
		intmax_t got_ = (intmax_t)(GOT), want_ = (intmax_t)(WANT);          \
                                                                                    \
		if (got_ != want_)                                                  \
			fail_msg("%s: " #GOT " is %jd, not %jd", ROW, got_, want_); \
	} while (0)

#define same_str(ROW, GOT, WANT)                                                                \
	do {                                                                                    \
		const char *got_ = (GOT), *want_ = (WANT);                                      \
                                                                                                \
		if (!got_ || !want_ ? got_ != want_ : strcmp(got_, want_) != 0)                 \
			fail_msg("%s: " #GOT " is '%s', not '%s'", ROW, got_ ? got_ : "(null)", \
				 want_ ? want_ : "(null)");                                     \
	} while (0)

#define has_str(ROW, GOT, PART)                                                \
	do {                                                                   \
		const char *got_ = (GOT), *part_ = (PART);                     \
                                                                               \
		if (part_ && !strstr(got_, part_))                             \
			fail_msg("%s: '%s' is not in '%s'", ROW, part_, got_); \
	} while (0)

/* A test that cannot run here says why; where it must run that is a failure. */
static inline void require(bool possible, const char *reason)
{
	const char *must = getenv("VIEWFS_MUST_RUN");

	if (possible)
		return;
	if (must && strcmp(must, "1") == 0)
		fail_msg("must run, but: %s", reason);
	print_message("skipped: %s\n", reason);
	skip();
}

/*
 * Root as the tests need it: layers have whiteouts (CAP_MKNOD) and trusted.* attributes, which
 * take CAP_SYS_ADMIN in the initial user namespace. A build daemon or a container is often uid 0
 * without.
 */
static inline void require_root(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
	struct stat st;

	require(geteuid() == 0, "not root");
	assert_return_code(syscall(SYS_capget, &header, data), errno);
	require(data[0].effective & (1U << CAP_SYS_ADMIN), "root without CAP_SYS_ADMIN");
	require(data[0].effective & (1U << CAP_MKNOD), "root without CAP_MKNOD");
	/* Its inode number is fixed: PROC_USER_INIT_INO in <linux/proc_ns.h>. */
	require(stat("/proc/self/ns/user", &st) == 0 && st.st_ino == 0xEFFFFFFDU,
		"root of another user namespace, or no /proc");
}

/* Removes *name* and what is beneath it, however long the paths are. */
static inline void remove_tree(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (stream && (entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			remove_tree(fd, entry->d_name);
	if (stream)
		closedir(stream);
	unlinkat(dir, name, fd < 0 ? 0 : AT_REMOVEDIR);
}

static inline int scratch_enter(void **state)
{
	char *path = strdup("/var/tmp/viewfs-unit-XXXXXX");

	*state = path;
	umask(022);
	return path && mkdtemp(path) && chdir(path) == 0 ? 0 : -1;
}

static inline int scratch_leave(void **state)
{
	int r = chdir("/");

	/* What a test that failed left mounted in it: private_mounts(). */
	umount2(*state, MNT_DETACH);
	remove_tree(AT_FDCWD, *state);
	free(*state);
	return r;
}

#define scratch_test(TEST) cmocka_unit_test_setup_teardown(TEST, scratch_enter, scratch_leave)

static inline void make_parents(const char *path)
{
	char *copy = strdup(path);

	assert_non_null(copy);
	for (char *p = copy; (p = strchr(p + 1, '/')); *p = '/') {
		*p = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			fail_msg("mkdir %s: %s", copy, strerror(errno));
	}
	free(copy);
}

static inline void make_bytes(const char *path, const char *content, size_t n)
{
	int fd;

	make_parents(path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, content, n) != (ssize_t)n)
		fail_msg("write %s: %s", path, strerror(errno));
	close(fd);
}

static inline void make_file(const char *path, const char *content)
{
	make_bytes(path, content, strlen(content));
}

static inline void make_dir(const char *path)
{
	make_parents(path);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		fail_msg("mkdir %s: %s", path, strerror(errno));
}

static inline void make_link(const char *target, const char *path)
{
	make_parents(path);
	if (symlink(target, path) < 0)
		fail_msg("symlink %s: %s", path, strerror(errno));
}

static inline void make_node(const char *path, mode_t mode, dev_t device)
{
	make_parents(path);
	if (mknod(path, mode, device) < 0)
		fail_msg("mknod %s: %s", path, strerror(errno));
}

static inline void make_whiteout(const char *path)
{
	make_node(path, S_IFCHR, makedev(0, 0));
}

static inline void make_mark(const char *path, const char *name, const char *value, size_t n)
{
	if (lsetxattr(path, name, value, n, 0) < 0)
		fail_msg("setxattr %s %s: %s", path, name, strerror(errno));
}

/* The first bytes of a file, for comparisons. */
static inline const char *content_of(int fd)
{
	static char text[64];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		fail_msg("read: %s", strerror(errno));
	/* cppcheck-suppress negativeIndex ; fail_msg() does not come back */
	text[n] = '\0';
	return text;
}

/* Mounts made in the private directory from now on are this process's own, and end with it. */
static inline void private_mounts(void)
{
	cleanup_free char *here = getcwd(NULL, 0);

	require_root();
	assert_non_null(here);
	require(unshare(CLONE_NEWNS) == 0, "no mount namespace of our own");
	/* In a chroot whose root is no mount point, what is mounted could spread to the machine. */
	require(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0,
		"the mounts cannot be made private: / is no mount point");
	assert_return_code(mount(here, here, "none", MS_BIND, NULL), errno);
	assert_return_code(chdir(here), errno);
}

/* Runs *run* in a process that may give up what this one still needs. Returns: what it returns. */
static inline int in_child(int (*run)(void))
{
	pid_t pid = fork();
	int status;

	assert_return_code(pid, errno);
	if (pid == 0)
		_exit(run());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
