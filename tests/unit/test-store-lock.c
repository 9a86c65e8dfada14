/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/store/store.h"

#include "tests/unit/fixture-store.h"

static int wait_for_chain(void)
{
	struct li_store *store = open_store("store");
	struct li_store_key key = chain_of(1);
	struct timespec deadline;
	int r;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_nsec += 20000000;
	deadline.tv_sec += deadline.tv_nsec / 1000000000;
	deadline.tv_nsec %= 1000000000;
	r = li_store_lock(store, &key, &deadline);
	li_store_close(store);
	return r == -ETIMEDOUT ? 1 : r < 0 ? 2 : 0;
}

static void test_a_lock_has_one_holder(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	struct li_store_key key = chain_of(1), other = chain_of(2), manifest = chain_of(1);
	int lock = li_store_lock(store, &key, NULL), fd;

	(void)state;
	assert_return_code(lock, -lock);
	assert_int_equal(in_child(wait_for_chain), 1);
	/* Others are not held up. */
	fd = li_store_lock(store, &other, &(struct timespec){});
	assert_return_code(fd, -fd);
	close(fd);
	manifest.by = LI_STORE_MANIFEST;
	fd = li_store_lock(store, &manifest, &(struct timespec){});
	assert_return_code(fd, -fd);
	close(fd);
	close(lock);
	assert_int_equal(in_child(wait_for_chain), 0);
	/* The largest digest has a place in the file. */
	memset(&key.id, 0xff, sizeof(key.id));
	key.by = LI_STORE_MANIFEST;
	fd = li_store_lock(store, &key, &(struct timespec){});
	assert_return_code(fd, -fd);
	close(fd);
}

static int fill_as_one_of_many(void)
{
	struct li_store *store = open_store("store");
	struct li_store_key key = chain_of(1);
	struct li_store_facts facts = {};
	int lock = li_store_lock(store, &key, NULL);
	int fd = open("source", O_RDONLY | O_CLOEXEC);
	struct li_store_addition addition = {.answer = {.path = "/kernel"}, .fd = fd};
	struct li_store_facts image = {.key = key};
	struct stat st;

	if (lock < 0 || fd < 0 || fstat(fd, &st) < 0)
		return 2;
	if (li_store_find(store, &key, &facts) == 0)
		return 0;
	li_store_answer_set(&addition.answer, &st);
	if (li_store_add(store, lock, &image, &addition, 1, &LI_STORE_UNLIMITED, NULL, &facts) < 0)
		return 3;
	return 1;
}

/* One of many writers does the work. */
static void test_one_of_many_writers_does_the_work(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	enum { WRITERS = 20 };
	int filled = 0;

	(void)state;
	make_file("source", "bytes");
	for (size_t i = 0; i < WRITERS; i++) {
		pid_t pid = fork();

		assert_return_code(pid, errno);
		if (pid == 0)
			_exit(fill_as_one_of_many());
	}
	for (size_t i = 0; i < WRITERS; i++) {
		int status;

		assert_return_code(wait(&status), errno);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
		filled += WEXITSTATUS(status);
	}
	assert_int_equal(filled, 1);
	must_hold(store, 1, "/kernel", "bytes");
	assert_int_equal(count_files("store"), 2);
}

static int wait_for_slot(void)
{
	struct li_store *store = open_store("store");
	int r = li_store_lock_slot(store, &(struct timespec){});

	li_store_close(store);
	return r == -ETIMEDOUT ? 1 : r < 0 ? 2 : 0;
}

static void test_two_processes_unpack_at_a_time(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	int slots[LI_STORE_SLOTS];

	(void)state;
	for (size_t i = 0; i < LI_STORE_SLOTS; i++) {
		assert_int_equal(in_child(wait_for_slot), 0);
		slots[i] = li_store_lock_slot(store, &(struct timespec){});
		assert_return_code(slots[i], -slots[i]);
	}
	assert_int_equal(in_child(wait_for_slot), 1);
	close(slots[0]);
	assert_int_equal(in_child(wait_for_slot), 0);
	close(slots[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_a_lock_has_one_holder),
		scratch_test(test_one_of_many_writers_does_the_work),
		scratch_test(test_two_processes_unpack_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
