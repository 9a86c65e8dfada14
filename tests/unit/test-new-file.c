/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/file/new-file.h"

#include "layerindex/hash/digest.h"
#include "tests/unit/fixture.h"

static int open_text(const char *text)
{
	int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	assert_return_code(fd, errno);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	return fd;
}

static void has_text(const char *name, const char *want)
{
	cleanup_close int fd = open(name, O_RDONLY | O_CLOEXEC);
	char text[16] = "";

	assert_return_code(fd, errno);
	assert_return_code(read(fd, text, sizeof(text) - 1), errno);
	assert_string_equal(text, want);
}

/* How many names a directory has. */
static int entries(const char *path)
{
	DIR *stream = opendir(path);
	const struct dirent *found;
	int n = 0;

	assert_non_null(stream);
	while ((found = readdir(stream)))
		n += strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0;
	closedir(stream);
	return n;
}

static void test_a_temporary_name_is_known_as_one(void **state)
{
	static const char *const others[] = {
		"",	 ".new-", ".new-0123456789abcde",  ".new-0123456789abcdef0",
		"x.new", "file",  ".new-0123456789abcdeF", ".old-0123456789abcdef",
	};
	char name[NEW_FILE_NAME + 1], second[NEW_FILE_NAME + 1];

	(void)state;
	assert_int_equal(new_file_name(name), 0);
	assert_int_equal(new_file_name(second), 0);
	assert_string_not_equal(name, second);
	assert_true(new_file_is_temporary(name));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		same_int(others[i], new_file_is_temporary(others[i]), false);
}

static void test_a_file_gets_its_name_and_replaces_only_if_asked(void **state)
{
	cleanup_close int first = open_text("first"), second = open_text("second"),
			  third = open_text("third");

	(void)state;
	assert_int_equal(new_file_link(first, AT_FDCWD, "name", false), 0);
	has_text("name", "first");
	assert_int_equal(new_file_link(second, AT_FDCWD, "name", false), -EEXIST);
	has_text("name", "first");
	assert_int_equal(new_file_link(second, AT_FDCWD, "name", true), 0);
	has_text("name", "second");
	/* A directory is not replaced, and no temporary name is left. */
	assert_return_code(mkdir("directory", 0700), errno);
	assert_int_equal(new_file_link(third, AT_FDCWD, "directory", true), -EISDIR);
	assert_int_equal(new_file_link(third, AT_FDCWD, "missing/name", true), -ENOENT);
	assert_int_equal(entries("."), 2);
}

static void test_the_digest_of_a_file_is_of_all_its_bytes(void **state)
{
	static const char abc[] =
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	cleanup_close int fd = open_text("abc");
	char hex[SHA256_DIGITS + 1];
	struct li_digest digest;

	(void)state;
	assert_int_equal(li_digest_file(fd, 3, &digest), 0);
	li_digest_print(&digest, hex);
	assert_string_equal(hex, abc);
	assert_int_equal(li_digest_file(fd, 4, &digest), -ESTALE);
	assert_int_equal(li_digest_file(fd, 2, &digest), -ESTALE);
	assert_int_equal(li_digest_file(-1, 1, &digest), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_temporary_name_is_known_as_one),
		scratch_test(test_a_file_gets_its_name_and_replaces_only_if_asked),
		scratch_test(test_the_digest_of_a_file_is_of_all_its_bytes),
	};

	return cmocka_run_group_tests_name("new-file", tests, NULL, NULL);
}
