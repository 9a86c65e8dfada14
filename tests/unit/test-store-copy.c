/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/store/store.h"

#include "layerindex/descriptor.h"
#include "tests/unit/fixture-store.h"

static void note_progress(uint64_t done, void *context)
{
	uint64_t *seen = context;

	assert_true(done > *seen);
	*seen = done;
}

/* Each byte is copied and hashed. */
static void test_progress_ends_at_twice_the_bytes(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	cleanup_with(li_store_facts_done) struct li_store_facts facts = {};
	struct li_store_facts image = {.key = chain_of(1)};
	cleanup_close int lock = li_store_lock(store, &image.key, NULL);
	uint64_t seen = 0;
	struct li_store_progress progress = {note_progress, &seen};
	cleanup_close int fd = -EBADF;
	struct li_store_addition addition = {.answer.path = "/k"};
	struct stat st;

	(void)state;
	make_file("source", "some bytes");
	fd = open("source", O_RDONLY | O_CLOEXEC);
	assert_return_code(fstat(fd, &st), errno);
	li_store_answer_set(&addition.answer, &st);
	addition.fd = fd;
	assert_int_equal(li_store_add(store, lock, &image, &addition, 1, &LI_STORE_UNLIMITED,
				      &progress, &facts),
			 0);
	assert_int_equal(seen, 2 * strlen("some bytes"));
}

/* Makes a file without a name in the store, which no descriptor can write to. */
static int make_given(const struct li_store *store, const char *content)
{
	cleanup_close int fd =
		openat(li_store_fd(store), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char path[DESCRIPTOR_PATH];
	int given;

	assert_return_code(fd, errno);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	descriptor_path(fd, path);
	given = open(path, O_RDONLY | O_CLOEXEC);
	assert_return_code(given, errno);
	return given;
}

static int add_given(const struct li_store *store, uint8_t chain, const char *path, int fd,
		     const struct li_digest *digest)
{
	cleanup_with(li_store_facts_done) struct li_store_facts facts = {};
	struct li_store_facts image = {.key = chain_of(chain)};
	cleanup_close int lock = li_store_lock(store, &image.key, NULL);
	struct li_store_addition addition = {
		.answer.path = path,
		.fd = fd,
		.is_given = true,
		.digest = digest,
	};
	struct stat st;

	assert_return_code(fstat(fd, &st), errno);
	li_store_answer_set(&addition.answer, &st);
	return li_store_add(store, lock, &image, &addition, 1, &LI_STORE_UNLIMITED, NULL, &facts);
}

/* The object is the file itself, which is hashed unless its writer has done that. */
static void test_a_given_file_becomes_the_object(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	cleanup_close int first = make_given(store, "given"), second = make_given(store, "given");
	cleanup_close int object = -EBADF;
	struct li_digest digest;
	struct stat given, filed;

	(void)state;
	assert_int_equal(add_given(store, 1, "/k", first, NULL), 0);
	object = open_filed(store, 1, "/k");
	assert_return_code(fstat(first, &given), errno);
	assert_return_code(fstat(object, &filed), errno);
	assert_int_equal(filed.st_ino, given.st_ino);
	assert_int_equal(filed.st_mode, S_IFREG | OBJECT_MODE);
	assert_int_equal(given.st_nlink, 1);
	must_hold(store, 1, "/k", "given");
	/* Another one of the same bytes stays without a name. */
	assert_int_equal(li_digest_file(second, strlen("given"), &digest), 0);
	assert_int_equal(add_given(store, 2, "/k", second, &digest), 0);
	must_hold(store, 2, "/k", "given");
	assert_return_code(fstat(second, &given), errno);
	assert_int_equal(given.st_nlink, 0);
}

/* Two names of an image may lead to one file. */
static void test_a_given_file_may_be_the_object_of_two_answers(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	cleanup_close int fd = make_given(store, "given");

	(void)state;
	assert_int_equal(add_given(store, 1, "/k", fd, NULL), 0);
	assert_int_equal(add_given(store, 1, "/l", fd, NULL), 0);
	must_hold(store, 1, "/k", "given");
	must_hold(store, 1, "/l", "given");
}

/* Facts may say that the file of that name is not the one that was filed: it is looked at again. */
static void test_an_object_with_other_bytes_is_replaced(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	const struct timespec times[] = {store_object_time, store_object_time};
	char path[128];

	(void)state;
	must_add(store, 1, "/k", "right");
	object_path("right", path);
	/* The inode stays taken. */
	assert_return_code(rename(path, "store/kept"), errno);
	make_file(path, "wrong");
	assert_return_code(chmod(path, OBJECT_MODE), errno);
	assert_return_code(utimensat(AT_FDCWD, path, times, 0), errno);
	must_add(store, 1, "/k", "right");
	must_hold(store, 1, "/k", "right");
	/* Nor is it taken for another image's. */
	assert_return_code(unlink(path), errno);
	make_file(path, "wrong");
	assert_return_code(chmod(path, OBJECT_MODE), errno);
	assert_return_code(utimensat(AT_FDCWD, path, times, 0), errno);
	must_add(store, 2, "/k", "right");
	must_hold(store, 2, "/k", "right");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_progress_ends_at_twice_the_bytes),
		scratch_test(test_a_given_file_becomes_the_object),
		scratch_test(test_a_given_file_may_be_the_object_of_two_answers),
		scratch_test(test_an_object_with_other_bytes_is_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
