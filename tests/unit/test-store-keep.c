/* SPDX-License-Identifier: Apache-2.0 */
/* What a store's keeper does: evict, list, verify, clear; and what a writer that dies leaves. */
#include "layerindex/store/store.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <time.h>

#include "tests/unit/fixture-store.h"

static struct li_store_evicted evict(const struct li_store *store, uint64_t bytes, int64_t age)
{
	struct li_store_evicted evicted = {};
	int r = li_store_evict(store, &(struct li_store_limits){bytes, age}, false, &evicted);

	same_int("evict", r, 0);
	return evicted;
}

/* Three images, 1 used last and 3 longest ago, each with an object of its own and one of all. */
static void fill(const struct li_store *store)
{
	for (uint8_t chain = 1; chain <= 3; chain++) {
		char content[] = "content 0";

		content[8] = (char)('0' + chain);
		must_add(store, chain, "/kernel", content);
		must_add(store, chain, "/shared", "shared");
		set_used(chain, chain * 10000);
	}
	same_int("filled", count_files("store"), 7);
}

static void test_nothing_is_evicted_within_the_limits(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	struct li_store_evicted evicted;

	(void)state;
	fill(store);
	evicted = evict(store, UINT64_MAX, INT64_MAX);
	assert_int_equal(evicted.images + evicted.objects + evicted.temporary, 0);
	assert_int_equal(evicted.bytes, 0);
	assert_true(evicted.kept >= 7);
	assert_int_equal(count_files("store"), 7);
}

static void test_images_out_of_use_for_too_long_are_evicted(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	struct li_store_evicted evicted;

	(void)state;
	fill(store);
	evicted = evict(store, UINT64_MAX, 15000);
	assert_int_equal(evicted.images, 2);
	assert_int_equal(evicted.objects, 2);
	assert_int_equal(open_filed(store, 3, "/kernel"), -ENOENT);
	assert_int_equal(open_filed(store, 2, "/kernel"), -ENOENT);
	/* An object that an image still names stays. */
	must_hold(store, 1, "/kernel", "content 1");
	must_hold(store, 1, "/shared", "shared");
	assert_int_equal(count_files("store"), 3);
}

/* The one that was not used for longest goes first. */
static void test_the_least_recently_used_image_is_evicted_first(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	struct li_store_evicted evicted;
	uint64_t all;

	(void)state;
	fill(store);
	all = evict(store, UINT64_MAX, INT64_MAX).kept;
	evicted = evict(store, all - 1, INT64_MAX);
	assert_int_equal(evicted.images, 1);
	assert_int_equal(evicted.objects, 1);
	assert_int_equal(evicted.kept + evicted.bytes, all);
	assert_int_equal(open_filed(store, 3, "/kernel"), -ENOENT);
	must_hold(store, 2, "/kernel", "content 2");
	must_hold(store, 1, "/kernel", "content 1");
	evicted = evict(store, 0, INT64_MAX);
	assert_int_equal(evicted.kept, 0);
	assert_int_equal(count_files("store"), 0);
}

static void test_a_dry_run_removes_nothing(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	struct li_store_evicted evicted = {};

	(void)state;
	fill(store);
	make_file("store/objects/.new-0123456789abcdef", "left");
	assert_int_equal(li_store_evict(store, &(struct li_store_limits){0, 0}, true, &evicted), 0);
	assert_int_equal(evicted.images, 3);
	assert_int_equal(evicted.objects, 4);
	assert_int_equal(evicted.temporary, 1);
	assert_int_equal(evicted.kept, 0);
	assert_int_equal(count_files("store"), 8);
}

/* What any process has open stays, and so does the image that names it. */
static void test_what_is_in_use_stays(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	struct li_store_evicted evicted;
	int fd, pipes[2];
	pid_t pid;
	char byte;

	(void)state;
	fill(store);
	assert_return_code(pipe2(pipes, O_CLOEXEC), errno);
	pid = fork();
	assert_return_code(pid, errno);
	if (pid == 0) {
		fd = open_filed(store, 3, "/kernel");
		if (fd < 0 || write(pipes[1], "", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	evicted = evict(store, 0, 0);
	assert_int_equal(evicted.images, 2);
	must_hold(store, 3, "/kernel", "content 3");
	must_hold(store, 3, "/shared", "shared");
	assert_int_equal(open_filed(store, 1, "/kernel"), -ENOENT);
	assert_int_equal(count_files("store"), 3);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	evict(store, 0, 0);
	assert_int_equal(count_files("store"), 0);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_left_files_are_removed(void **state)
{
	static const char *const left[] = {
		"store/objects/.new-0123456789abcdef",
		"store/objects/ab/.new-0123456789abcdef",
		"store/chains/.new-0123456789abcdef",
		"store/images/.new-fedcba9876543210",
		"store/objects/ab/"
		"ab00000000000000000000000000000000000000000000000000000000000000",
		"store/chains/"
		"0000000000000000000000000000000000000000000000000000000000000000",
	};
	static const char *const others[] = {"store/README", "store/chains/.new-x",
					     "store/objects/ab/x", "store/objects/y"};
	cleanup_with(close_store) struct li_store *store = open_store("store");
	struct li_store_evicted evicted;
	cleanup_close int fd = -EBADF;

	(void)state;
	fill(store);
	assert_int_equal(mkdir("store/objects/ab", 0700) < 0 && errno != EEXIST, 0);
	for (size_t i = 0; i < ARRAY_SIZE(left); i++) {
		make_file(left[i], "left");
		assert_return_code(chmod(left[i], 0600), errno);
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		make_file(others[i], "not the store's");
	/* A temporary file that its writer has open is being written. */
	fd = open(left[0], O_RDONLY | O_CLOEXEC);
	evicted = evict(store, UINT64_MAX, INT64_MAX);
	assert_int_equal(evicted.temporary, 3);
	assert_int_equal(evicted.objects, 1);
	assert_int_equal(evicted.images, 1);
	assert_int_equal(count_files("store"), 7 + 1 + ARRAY_SIZE(others));
	close(TAKE_FD(fd));
	assert_int_equal(evict(store, UINT64_MAX, INT64_MAX).temporary, 1);
	assert_int_equal(count_files("store"), 7 + ARRAY_SIZE(others));
}

/* A last use in the future is one of now. */
static void test_a_last_use_in_the_future_counts_as_now(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");

	(void)state;
	fill(store);
	set_used(3, -1000000);
	evict(store, UINT64_MAX, 5000);
	must_hold(store, 3, "/kernel", "content 3");
	assert_int_equal(open_filed(store, 1, "/kernel"), -ENOENT);
}

/* A limit holds when something is added; what was just used is not what goes. */
static void test_an_addition_evicts_others_and_not_itself(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	struct li_store_limits limits = {.age = INT64_MAX};

	(void)state;
	fill(store);
	limits.bytes = evict(store, UINT64_MAX, INT64_MAX).kept;
	make_file("source", "new");
	assert_int_equal(add_file(store, 4, "/kernel", "source", &limits), 0);
	must_hold(store, 4, "/kernel", "new");
	assert_int_equal(open_filed(store, 3, "/kernel"), -ENOENT);
	must_hold(store, 2, "/kernel", "content 2");
	limits.bytes = 2;
	assert_int_equal(add_file(store, 5, "/kernel", "source", &limits), -ENOSPC);
	assert_int_equal(open_filed(store, 5, "/kernel"), -ENOENT);
}

/* A tenth stays free, and what cannot be filed leaves nothing. */
static void test_a_tenth_of_the_filesystem_stays_free(void **state)
{
	enum { MIB = 1 << 20 };
	cleanup_with(close_store) struct li_store *store = NULL;
	cleanup_free char *content = calloc(10, MIB);
	struct statvfs fs;
	int in_use[2];

	(void)state;
	private_mounts();
	make_dir("store");
	assert_return_code(mount("none", "store", "tmpfs", 0, "size=10m,mode=0700"), errno);
	store = open_store("store");
	assert_non_null(content);
	for (uint8_t chain = 1; chain <= 6; chain++) {
		content[0] = (char)chain;
		make_bytes("source", content, 3 * MIB);
		assert_int_equal(add_file(store, chain, "/kernel", "source", &LI_STORE_UNLIMITED),
				 0);
		set_used(chain, 1000 - chain);
		assert_return_code(statvfs("store", &fs), errno);
		assert_true(fs.f_bavail >= fs.f_blocks / 10);
	}
	assert_int_equal(open_filed(store, 4, "/kernel"), -ENOENT);
	assert_int_equal(count_files("store"), 4);
	/* More than there can be. */
	make_bytes("source", content, 9 * MIB + 1);
	assert_int_equal(add_file(store, 7, "/kernel", "source", &LI_STORE_UNLIMITED), -ENOSPC);
	/* Nothing was evicted in vain. */
	assert_int_equal(count_files("store"), 4);
	/* Another one's bytes are in the way, and what is here is in use. */
	make_bytes("store/ballast", content, 3 * MIB);
	make_bytes("source", content, MIB);
	for (uint8_t i = 0; i < 2; i++) {
		in_use[i] = open_filed(store, 5 + i, "/kernel");
		assert_return_code(in_use[i], -in_use[i]);
	}
	assert_int_equal(add_file(store, 8, "/kernel", "source", &LI_STORE_UNLIMITED), -ENOSPC);
	assert_int_equal(open_filed(store, 8, "/kernel"), -ENOENT);
	assert_int_equal(count_files("store"), 5);
	for (size_t i = 0; i < 2; i++)
		close(in_use[i]);
	assert_int_equal(add_file(store, 8, "/kernel", "source", &LI_STORE_UNLIMITED), 0);
	assert_int_equal(open_filed(store, 5, "/kernel"), -ENOENT);
	assert_return_code(unlink("store/ballast"), errno);
	evict(store, 0, 0);
	assert_int_equal(count_files("store"), 0);
	li_store_close(TAKE_PTR(store));
	umount2("store", MNT_DETACH);
}

struct tally {
	size_t images, objects, damaged, temporary, in_use;
};

static void count(const struct li_store_entry *entry, void *context)
{
	struct tally *tally = context;

	tally->images += !entry->is_object;
	tally->objects += entry->is_object;
	tally->damaged += entry->state == LI_STORE_DAMAGED;
	tally->temporary += entry->state == LI_STORE_TEMPORARY;
	tally->in_use += entry->in_use;
	if (!entry->is_object && entry->state == LI_STORE_CURRENT)
		same_int(entry->name, entry->facts != NULL, true);
	if (access("store", F_OK) == 0) {
		char path[128];

		snprintf(path, sizeof(path), "store/%s", entry->name);
		if (access(path, F_OK) < 0 && entry->state != LI_STORE_DAMAGED)
			fail_msg("%s: %s", path, strerror(errno));
	}
}

/* Changes bytes as a disk would: the time of the modification stays. */
static void rot(const char *content)
{
	const struct timespec times[2] = {};
	char path[128];
	int fd;

	object_path(content, path);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_return_code(fd, errno);
	assert_int_equal(pwrite(fd, "X", 1, 0), 1);
	assert_return_code(futimens(fd, times), errno);
	close(fd);
}

static void test_images_are_listed_and_damage_is_found(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	cleanup_close int fd = -EBADF;
	struct tally tally = {};

	(void)state;
	require_root();
	fill(store);
	fd = open_filed(store, 2, "/kernel");
	assert_int_equal(li_store_each(store, count, &tally), 0);
	assert_int_equal(tally.images, 3);
	assert_int_equal(tally.objects, 4);
	assert_int_equal(tally.damaged + tally.temporary, 0);
	assert_int_equal(tally.in_use, 1);
	tally = (struct tally){};
	assert_int_equal(li_store_verify(store, false, count, &tally), 0);
	assert_int_equal(tally.damaged, 0);
	rot("content 2");
	tally = (struct tally){};
	assert_int_equal(li_store_each(store, count, &tally), 0);
	assert_int_equal(tally.damaged, 0);
	assert_int_equal(li_store_verify(store, false, count, &tally), 0);
	assert_int_equal(tally.damaged, 1);
	tally = (struct tally){};
	assert_int_equal(li_store_verify(store, true, count, &tally), 0);
	/* The object, and the image that names it. */
	assert_int_equal(tally.damaged, 2);
	assert_int_equal(count_files("store"), 5);
	must_hold(store, 1, "/kernel", "content 1");
	must_add(store, 2, "/kernel", "content 2");
	must_hold(store, 2, "/kernel", "content 2");
}

static void test_clear_removes_all_and_open_files_stay(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	cleanup_close int fd = -EBADF;

	(void)state;
	fill(store);
	make_file("store/chains/.new-0123456789abcdef", "left");
	fd = open_filed(store, 1, "/kernel");
	assert_int_equal(li_store_clear(store), 0);
	assert_int_equal(count_files("store"), 0);
	assert_string_equal(content_of(fd), "content 1");
	fill(store);
}

/* Files many images, and evicts, until it is killed. */
static void write_for_ever(bool no_tmpfile)
{
	struct li_store *store = open_store("store");

	/* Not longer than the test, if that fails meanwhile. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	store->no_tmpfile = no_tmpfile;
	for (uint8_t i = 0;; i++) {
		struct li_store_evicted evicted;

		add_file(store, i % 8, "/kernel", i % 2 ? "one" : "other", &LI_STORE_UNLIMITED);
		if (i % 16 == 0)
			li_store_evict(store, &(struct li_store_limits){0, 0}, false, &evicted);
	}
}

/* Each artifact that is found has the right bytes. */
static void look(const struct li_store *store, const char *one, const char *other, size_t *hits)
{
	for (uint8_t chain = 0; chain < 8; chain++) {
		cleanup_close int fd = open_filed(store, chain, "/kernel");

		/* Evicted, or evicted and filed anew, since the facts were read. */
		if (fd == -ENOENT || fd == -ESTALE)
			continue;
		if (fd < 0)
			fail_msg("neither a hit nor a miss: %s", strerror(-fd));
		if (strcmp(content_of(fd), one) != 0 && strcmp(content_of(fd), other) != 0)
			fail_msg("'%s' was never filed", content_of(fd));
		++*hits;
	}
}

/* Two writers, one of which is killed in each round, anywhere; a reader sees nothing wrong. */
static void test_killed_writers_leave_a_store_that_readers_can_use(void **state)
{
	static const char one[] = "the one artifact", other[] = "another artifact";
	cleanup_with(close_store) struct li_store *store = open_store("store");
	const char *rounds = getenv("VIEWFS_STORE_KILLS");
	size_t hits = 0, most = rounds ? strtoul(rounds, NULL, 10) : 200, killed = 0;
	struct tally tally = {};

	(void)state;
	make_file("one", one);
	make_file("other", other);
	for (size_t i = 0; i < most; i++) {
		struct timespec now, end;
		uint16_t random = 0;
		pid_t pids[2];
		int status;

		for (size_t w = 0; w < 2; w++) {
			pids[w] = fork();
			assert_return_code(pids[w], errno);
			if (pids[w] == 0)
				write_for_ever(i % 2);
		}
		assert_int_equal(getrandom(&random, sizeof(random), 0), sizeof(random));
		clock_gettime(CLOCK_MONOTONIC, &end);
		end.tv_nsec += 1000000 + random * 100;
		do {
			look(store, one, other, &hits);
			clock_gettime(CLOCK_MONOTONIC, &now);
		} while (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec);
		for (size_t w = 0; w < 2; w++) {
			assert_return_code(kill(pids[w], SIGKILL), errno);
			assert_int_equal(waitpid(pids[w], &status, 0), pids[w]);
			killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
		}
		look(store, one, other, &hits);
	}
	print_message("%zu writers killed, %zu hits\n", killed, hits);
	assert_int_equal(killed, 2 * most);
	assert_true(hits > 0);
	evict(store, UINT64_MAX, INT64_MAX);
	assert_int_equal(li_store_verify(store, false, count, &tally), 0);
	assert_int_equal(tally.damaged + tally.temporary, 0);
	evict(store, 0, 0);
	assert_int_equal(count_files("store"), 0);
	/* No lock is left. */
	must_add(store, 1, "/kernel", "bytes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_nothing_is_evicted_within_the_limits),
		scratch_test(test_images_out_of_use_for_too_long_are_evicted),
		scratch_test(test_the_least_recently_used_image_is_evicted_first),
		scratch_test(test_a_dry_run_removes_nothing),
		scratch_test(test_what_is_in_use_stays),
		scratch_test(test_left_files_are_removed),
		scratch_test(test_a_last_use_in_the_future_counts_as_now),
		scratch_test(test_an_addition_evicts_others_and_not_itself),
		scratch_test(test_images_are_listed_and_damage_is_found),
		scratch_test(test_clear_removes_all_and_open_files_stay),
		scratch_test(test_killed_writers_leave_a_store_that_readers_can_use),
		scratch_test(test_a_tenth_of_the_filesystem_stays_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
