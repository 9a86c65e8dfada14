/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/store/store.h"

#include "tests/unit/fixture-store.h"

static void test_what_is_added_is_found(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	cleanup_with(li_store_facts_done) struct li_store_facts facts = {};
	struct li_store_key key = chain_of(1);
	const struct li_store_answer *answer;
	char path[128];
	struct stat st;

	(void)state;
	assert_int_equal(open_filed(store, 1, "/kernel"), -ENOENT);
	make_file("source", "bytes");
	assert_return_code(chmod("source", 04751), errno);
	assert_int_equal(add_file(store, 1, "/kernel", "source", &LI_STORE_UNLIMITED), 0);
	must_add(store, 1, "/initrd", NULL);
	must_hold(store, 1, "/kernel", "bytes");
	assert_int_equal(open_filed(store, 1, "/other"), -ENODATA);
	assert_int_equal(li_store_find(store, &key, &facts), 0);
	assert_int_equal(facts.count, 2);
	assert_int_equal(facts.layers, 3);
	answer = li_store_facts_find(&facts, "/initrd");
	assert_int_equal(answer->kind, LI_STORE_ABSENT);
	assert_int_equal(li_store_object_open(store, answer), -EINVAL);
	answer = li_store_facts_find(&facts, "/kernel");
	assert_int_equal(answer->mode, 04751);
	assert_int_equal(answer->size, 5);
	assert_return_code(stat("source", &st), errno);
	assert_int_equal(answer->modified.tv_sec, st.st_mtim.tv_sec);
	assert_int_equal(answer->modified.tv_nsec, st.st_mtim.tv_nsec);
	assert_int_equal(answer->uid, st.st_uid);
	object_path("bytes", path);
	assert_return_code(stat(path, &st), errno);
	assert_int_equal(st.st_mode, S_IFREG | 0400);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(count_files("store"), 2);
}

/* The same, where a file must have a temporary name. */
static void test_files_are_added_without_nameless_files(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");

	(void)state;
	store->no_tmpfile = true;
	must_add(store, 1, "/kernel", "bytes");
	must_add(store, 1, "/other", "more");
	must_hold(store, 1, "/kernel", "bytes");
	must_hold(store, 1, "/other", "more");
	assert_int_equal(count_files("store"), 3);
}

static void test_images_share_an_object(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");

	(void)state;
	for (uint8_t chain = 1; chain <= 5; chain++)
		must_add(store, chain, "/kernel", "bytes");
	must_add(store, 1, "/again", "bytes");
	assert_int_equal(count_files("store/objects"), 1);
	for (uint8_t chain = 1; chain <= 5; chain++)
		must_hold(store, chain, "/kernel", "bytes");
}

/* An answer that is there is kept. */
static void test_a_second_answer_changes_nothing(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");

	(void)state;
	must_add(store, 1, "/kernel", "first");
	must_add(store, 1, "/kernel", "second");
	must_hold(store, 1, "/kernel", "first");
	assert_int_equal(count_files("store/objects"), 1);
}

static void test_an_image_has_at_most_sixteen_answers(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	char path[] = "/a";

	(void)state;
	for (size_t i = 0; i < LI_STORE_PATHS_MAX; i++, path[1]++)
		must_add(store, 1, path, i % 2 ? path : NULL);
	assert_int_equal(add_file(store, 1, path, NULL, &LI_STORE_UNLIMITED), -E2BIG);
	assert_int_equal(add_file(store, 1, "/a", NULL, &LI_STORE_UNLIMITED), 0);
	must_hold(store, 1, "/b", "/b");
}

/* What breaks a rule is refused, and nothing is filed. */
static void test_an_addition_that_breaks_a_rule_is_rejected(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	struct li_store_facts image = {.key = chain_of(1)};
	cleanup_close int lock = li_store_lock(store, &image.key, NULL);
	cleanup_close int directory = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct {
		const char *name;
		struct li_store_addition addition;
		int lock, want;
	} rows[] = {
		{"relative", {.answer = {.path = "a"}, .fd = -EBADF}, lock, -EINVAL},
		{"..", {.answer = {.path = "/a/.."}, .fd = -EBADF}, lock, -EINVAL},
		{"no reason",
		 {.answer = {.path = "/a", .kind = LI_STORE_OTHER}, .fd = -EBADF},
		 lock,
		 -EINVAL},
		{"no bytes",
		 {.answer = {.path = "/a", .kind = LI_STORE_ARTIFACT}, .fd = -EBADF},
		 lock,
		 -EINVAL},
		{"bytes", {.answer = {.path = "/a"}, .fd = directory}, lock, -EINVAL},
		{"directory",
		 {.answer = {.path = "/a", .kind = LI_STORE_ARTIFACT}, .fd = directory},
		 lock,
		 -EINVAL},
		{"no lock", {.answer = {.path = "/a"}, .fd = -EBADF}, -EBADF, -EBADF},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct li_store_facts facts = {};

		same_int(rows[i].name,
			 li_store_add(store, rows[i].lock, &image, &rows[i].addition, 1,
				      &LI_STORE_UNLIMITED, NULL, &facts),
			 rows[i].want);
		same_int(rows[i].name, count_files("store"), 0);
	}
	image.source = LI_STORE_TOC;
	assert_int_equal(
		li_store_add(store, lock, &image,
			     &(struct li_store_addition){.answer = {.path = "/a"}, .fd = -EBADF}, 1,
			     &LI_STORE_UNLIMITED, NULL, &(struct li_store_facts){}),
		-EINVAL);
}

/* Files an artifact of the manifest *number*, whose chain has the same number. */
static int add_by_manifest(const struct li_store *store, uint8_t number, const char *path,
			   enum li_store_source source)
{
	cleanup_with(li_store_facts_done) struct li_store_facts facts = {};
	cleanup_close int fd = open("source", O_RDONLY | O_CLOEXEC);
	struct li_store_addition addition = {
		.answer = {.path = path, .kind = LI_STORE_ARTIFACT, .origin = NULL}, .fd = fd};
	struct li_store_facts image = {
		.key = {LI_STORE_MANIFEST, {{0xee, number}}},
		.chain = chain_of(number).id,
		.source = source,
	};
	cleanup_close int lock = li_store_lock(store, &image.key, NULL);

	return li_store_add(store, lock, &image, &addition, 1, &LI_STORE_UNLIMITED, NULL, &facts);
}

/* Returns: how many answers a manifest has, or what finding it failed with. */
static int answers_of_manifest(const struct li_store *store, uint8_t number)
{
	cleanup_with(li_store_facts_done) struct li_store_facts facts = {};
	struct li_store_key key = {LI_STORE_MANIFEST, {{0xee, number}}};
	int r = li_store_find(store, &key, &facts);
	struct li_digest chain = chain_of(number).id;

	if (r < 0)
		return r;
	assert_true(li_digest_equal(&facts.chain, &chain));
	return (int)facts.count;
}

/* But a manifest has none of its chain's, which any manifest may claim. */
static void test_an_image_of_a_manifest_is_filed_by_its_chain_too(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");

	(void)state;
	must_add(store, 1, "/old", "bytes");
	assert_int_equal(answers_of_manifest(store, 1), -ENOENT);
	assert_int_equal(add_by_manifest(store, 1, "/kernel", LI_STORE_BLOB), 0);
	assert_int_equal(answers_of_manifest(store, 1), 1);
	must_hold(store, 1, "/kernel", "bytes");
	must_hold(store, 1, "/old", "bytes");
}

static void test_a_table_of_contents_says_nothing_of_a_chain(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");

	(void)state;
	must_add(store, 1, "/old", "bytes");
	make_file("source", "lies");
	assert_int_equal(add_by_manifest(store, 1, "/kernel", LI_STORE_TOC), 0);
	assert_int_equal(answers_of_manifest(store, 1), 1);
	assert_int_equal(open_filed(store, 1, "/kernel"), -ENODATA);
	/* Nor later, when something certain is added: that replaces it. */
	make_file("source", "bytes");
	assert_int_equal(add_by_manifest(store, 1, "/initrd", LI_STORE_BLOB), 0);
	assert_int_equal(answers_of_manifest(store, 1), 1);
	assert_int_equal(open_filed(store, 1, "/kernel"), -ENODATA);
	must_hold(store, 1, "/initrd", "bytes");
}

/* What the chain has keeps no answer of a manifest out that is not the chain's. */
static void test_a_full_chain_leaves_room_for_what_a_table_says(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	char path[] = "/a";

	(void)state;
	for (size_t i = 0; i < LI_STORE_PATHS_MAX; i++, path[1]++)
		must_add(store, 1, path, NULL);
	make_file("source", "bytes");
	assert_int_equal(add_by_manifest(store, 1, "/kernel", LI_STORE_TOC), 0);
	assert_int_equal(answers_of_manifest(store, 1), 1);
	/* The chain has none. */
	assert_int_equal(add_by_manifest(store, 1, "/other", LI_STORE_BLOB), -E2BIG);
}

static void chmod_or_fail(const char *path, mode_t mode)
{
	if (chmod(path, mode) < 0)
		fail_msg("chmod %s: %s", path, strerror(errno));
}

/* A store that others can reach into is not used. */
static void test_a_store_that_others_can_reach_is_not_used(void **state)
{
	static const char *const names[] = {"store", "store/objects", "store/chains",
					    "store/images"};
	static const mode_t modes[] = {0710, 0701, 0720, 0702, 0740, 0704, 01700, 02700};
	struct li_store *store = open_store("store");

	(void)state;
	li_store_close(store);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(modes); j++) {
			chmod_or_fail(names[i], modes[j]);
			same_int(names[i], li_store_open("store", true, &store), -EPERM);
		}
		chmod_or_fail(names[i], 0700);
		if (geteuid() != 0)
			continue;
		assert_return_code(chown(names[i], 1, 0), errno);
		same_int(names[i], li_store_open("store", true, &store), -EPERM);
		assert_return_code(chown(names[i], 0, 0), errno);
	}
	assert_int_equal(li_store_open("store", false, &store), 0);
	li_store_close(store);
	assert_return_code(rename("store/chains", "elsewhere"), errno);
	make_link("../elsewhere", "store/chains");
	assert_int_equal(li_store_open("store", true, &store), -EPERM);
}

static void test_opening_makes_nothing_unless_asked(void **state)
{
	struct li_store *store = NULL;

	(void)state;
	assert_int_equal(li_store_open("store", false, &store), -ENOENT);
	assert_null(store);
	assert_int_equal(li_store_open("no/store", true, &store), -ENOENT);
	assert_return_code(mkdir("store", 0700), errno);
	assert_int_equal(li_store_open("store", false, &store), 0);
	assert_int_equal(open_filed(store, 1, "/kernel"), -ENOENT);
	li_store_close(store);
	assert_int_equal(rmdir("store"), 0);
}

static void damage_size(const char *path)
{
	assert_return_code(truncate(path, 3), errno);
}

static void damage_bytes(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_return_code(fd, errno);
	assert_int_equal(pwrite(fd, "X", 1, 0), 1);
	close(fd);
}

static void damage_mode(const char *path)
{
	chmod_or_fail(path, 0440);
}

static void damage_inode(const char *path)
{
	const struct timespec times[2] = {};

	/* Made while the first is there: it would else get its inode. */
	make_file("other", "bytes");
	chmod_or_fail("other", 0400);
	assert_return_code(utimensat(AT_FDCWD, "other", times, 0), errno);
	assert_return_code(rename("other", path), errno);
}

static void damage_owner(const char *path)
{
	assert_return_code(chown(path, 1, 0), errno);
}

static void damage_kind(const char *path)
{
	assert_return_code(unlink(path), errno);
	assert_return_code(mkfifo(path, 0400), errno);
}

static void damage_link(const char *path)
{
	assert_return_code(rename(path, "moved"), errno);
	assert_return_code(symlink("../../../moved", path), errno);
}

/* A damaged object is a miss, and the next addition repairs it. */
static void test_a_damaged_object_is_a_miss_and_is_repaired(void **state)
{
	static const struct {
		const char *name;
		void (*damage)(const char *path);
	} rows[] = {
		{"size", damage_size},	 {"bytes", damage_bytes}, {"mode", damage_mode},
		{"owner", damage_owner}, {"kind", damage_kind},	  {"link", damage_link},
	};
	cleanup_with(close_store) struct li_store *store = open_store("store");
	char path[128];

	(void)state;
	require_root();
	object_path("bytes", path);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		must_add(store, 1, "/kernel", "bytes");
		must_add(store, 2, "/kernel", "bytes");
		must_hold(store, 1, "/kernel", "bytes");
		rows[i].damage(path);
		same_int(rows[i].name, open_filed(store, 1, "/kernel"), -ESTALE);
		must_add(store, 1, "/kernel", "bytes");
		must_hold(store, 1, "/kernel", "bytes");
	}
	damage_inode(path);
	assert_int_equal(open_filed(store, 1, "/kernel"), -ESTALE);
	assert_return_code(unlink(path), errno);
	assert_int_equal(open_filed(store, 1, "/kernel"), -ENOENT);
}

static void test_damaged_facts_are_a_miss_and_are_repaired(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	char path[128], other[128];

	(void)state;
	must_add(store, 1, "/kernel", "bytes");
	must_add(store, 2, "/kernel", "bytes");
	chain_path(1, path);
	chain_path(2, other);
	/* Another image's. */
	assert_return_code(unlink(path), errno);
	assert_return_code(link(other, path), errno);
	assert_int_equal(open_filed(store, 1, "/kernel"), -EINVAL);
	must_hold(store, 2, "/kernel", "bytes");
	must_add(store, 1, "/kernel", "bytes");
	must_hold(store, 1, "/kernel", "bytes");
	must_hold(store, 2, "/kernel", "bytes");
	assert_return_code(truncate(path, 70), errno);
	assert_int_equal(open_filed(store, 1, "/kernel"), -EINVAL);
	chmod_or_fail(other, 0644);
	assert_int_equal(open_filed(store, 2, "/kernel"), -EINVAL);
	must_add(store, 1, "/kernel", "bytes");
	must_hold(store, 1, "/kernel", "bytes");
	assert_return_code(truncate(path, 1 << 20), errno);
	assert_int_equal(open_filed(store, 1, "/kernel"), -EINVAL);
}

/* Facts are touched when they were used more than an hour ago, and after a clock that jumped. */
static void test_a_use_is_noted_once_an_hour(void **state)
{
	static const struct {
		time_t ago;
		bool touched;
	} rows[] = {{60, false}, {3000, false}, {4000, true}, {-4000, true}, {-60, false}};
	cleanup_with(close_store) struct li_store *store = open_store("store");
	char path[128];

	(void)state;
	must_add(store, 1, "/kernel", "bytes");
	chain_path(1, path);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct stat before, after;

		set_used(1, rows[i].ago);
		assert_return_code(stat(path, &before), errno);
		must_hold(store, 1, "/kernel", "bytes");
		assert_return_code(stat(path, &after), errno);
		assert_int_equal(before.st_mtim.tv_sec != after.st_mtim.tv_sec, rows[i].touched);
	}
}

/* Removal of all of it under a reader and a writer: misses, and what is open stays. */
static void test_a_removed_store_is_a_miss_and_open_files_stay(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	cleanup_with(close_store) struct li_store *anew = NULL;
	cleanup_close int fd = -EBADF;

	(void)state;
	must_add(store, 1, "/kernel", "bytes");
	fd = open_filed(store, 1, "/kernel");
	assert_return_code(fd, -fd);
	remove_tree(AT_FDCWD, "store");
	assert_int_equal(open_filed(store, 1, "/kernel"), -ENOENT);
	assert_int_equal(add_file(store, 1, "/kernel", "source", &LI_STORE_UNLIMITED), -ENOENT);
	assert_string_equal(content_of(fd), "bytes");
	anew = open_store("store");
	must_add(anew, 1, "/kernel", "bytes");
	must_hold(anew, 1, "/kernel", "bytes");
}

static void test_a_read_only_store_is_read(void **state)
{
	struct li_store *store;

	(void)state;
	private_mounts();
	store = open_store("store");
	must_add(store, 1, "/kernel", "bytes");
	li_store_close(store);
	set_used(1, 10000);
	assert_return_code(mount("store", "store", "none", MS_BIND, NULL), errno);
	assert_return_code(mount("none", "store", "none", MS_REMOUNT | MS_BIND | MS_RDONLY, NULL),
			   errno);
	store = open_store("store");
	must_hold(store, 1, "/kernel", "bytes");
	assert_int_equal(add_file(store, 1, "/other", NULL, &LI_STORE_UNLIMITED), -EROFS);
	assert_int_equal(li_store_clear(store), -EROFS);
	li_store_close(store);
	umount2("store", MNT_DETACH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_what_is_added_is_found),
		scratch_test(test_files_are_added_without_nameless_files),
		scratch_test(test_images_share_an_object),
		scratch_test(test_a_second_answer_changes_nothing),
		scratch_test(test_an_image_has_at_most_sixteen_answers),
		scratch_test(test_an_image_of_a_manifest_is_filed_by_its_chain_too),
		scratch_test(test_a_table_of_contents_says_nothing_of_a_chain),
		scratch_test(test_a_full_chain_leaves_room_for_what_a_table_says),
		scratch_test(test_an_addition_that_breaks_a_rule_is_rejected),
		scratch_test(test_a_store_that_others_can_reach_is_not_used),
		scratch_test(test_opening_makes_nothing_unless_asked),
		scratch_test(test_a_damaged_object_is_a_miss_and_is_repaired),
		scratch_test(test_damaged_facts_are_a_miss_and_are_repaired),
		scratch_test(test_a_use_is_noted_once_an_hour),
		scratch_test(test_a_removed_store_is_a_miss_and_open_files_stay),
		scratch_test(test_a_read_only_store_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
