/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/index/index.h"

#include <time.h>

#include "tests/unit/fixture-index.h"

enum { HOUR = 3600 };

static const struct chain_key key = {{0x0123456789abcdef, 0xfedcba9876543210}};
static const char key_name[] = "0123456789abcdeffedcba9876543210";

static void index_close(struct li_index **index)
{
	li_index_close(*index);
}
DEFINE_CLEANUP(struct li_index *, index_close)

static struct li_index *open_index(void)
{
	struct li_index *index = NULL;

	assert_int_equal(li_index_open("index", 1, &index), 0);
	assert_int_equal(li_index_make(index), 0);
	return index;
}

/* Files a fact about "a", in *layer*, under *name_key*, about the directory *top*. */
static int publish_about(const struct li_index *index, const struct chain_key *name_key,
			 const char *top, uint32_t layer)
{
	cleanup_with(facts_done) struct facts facts = {};
	struct fact fact = {.kind = FACT_DIRECTORY, .layer = layer};
	struct chain chain = {.key = *name_key, .layers = 9};

	if (access(top, F_OK) == 0)
		identify(top, &chain.top);
	assert_int_equal(facts_add_string(&facts, top, &chain.top_path), 0);
	assert_int_equal(facts_add(&facts, "a", &fact), 0);
	return index_publish(index, &chain, &facts);
}

static int publish(const struct li_index *index, uint32_t layer)
{
	return publish_about(index, &key, "/layer", layer);
}

/* The layer that the fact about "a" is about, or what loading it fails with. */
static int load(const struct li_index *index)
{
	cleanup_with(facts_done) struct facts facts = {};
	struct chain chain;
	int r = index_load(index, &key, &chain, &facts);

	if (r < 0)
		return r;
	assert_int_equal(chain.layers, 9);
	assert_string_equal(facts.strings + chain.top_path, "/layer");
	assert_non_null(facts_find(&facts, "a"));
	return (int)facts_find(&facts, "a")->layer;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names in the index's directory, sorted, with spaces between them. */
static const char *names(void)
{
	static char text[4096];
	char *found[100] = {}, *end = text;
	DIR *stream = opendir("index");
	const struct dirent *entry;
	size_t n = 0;

	assert_non_null(stream);
	while ((entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
			assert_true(n < ARRAY_SIZE(found));
			found[n++] = strdup(entry->d_name);
		}
	closedir(stream);
	qsort(found, n, sizeof(*found), compare_names);
	*end = '\0';
	for (size_t i = 0; i < n; i++) {
		end = stpcpy(stpcpy(end, i > 0 ? " " : ""), found[i]);
		free(found[i]);
	}
	return text;
}

static const char *entry_path(void)
{
	static char path[64];

	snprintf(path, sizeof(path), "index/%s", key_name);
	return path;
}

static time_t used(const char *path)
{
	struct stat st;

	assert_return_code(lstat(path, &st), errno);
	return st.st_mtim.tv_sec;
}

static void use(const char *path, time_t when)
{
	const struct timespec times[] = {{.tv_sec = when}, {.tv_sec = when}};

	assert_return_code(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), errno);
}

static void test_an_index_is_opened_or_made(void **state)
{
	struct li_index *index = NULL;
	struct stat st;

	(void)state;
	make_file("file", "");
	make_link("index", "link");
	make_link("nowhere", "dangling");
	assert_int_equal(li_index_open("index", 0, &index), -ENOENT);
	assert_int_equal(li_index_open("no/index", 1, &index), -ENOENT);
	assert_int_equal(li_index_open("file", 1, &index), -ENOTDIR);
	assert_int_equal(li_index_open("dangling", 1, &index), -ENOENT);
	assert_null(index);
	/* Planned, and nothing is there yet, not even the directory above. */
	assert_int_equal(li_index_open("no/index/", 2, &index), 0);
	assert_int_equal(stat("no", &st), -1);
	assert_int_equal(li_index_make(index), 0);
	assert_int_equal(li_index_make(index), 0);
	assert_return_code(stat("no/index", &st), errno);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_return_code(stat("no", &st), errno);
	assert_int_equal(st.st_mode & 07777, 0755);
	li_index_close(index);
	index = open_index();
	assert_return_code(stat("index", &st), errno);
	assert_int_equal(st.st_mode & 07777, 0700);
	li_index_close(index);
	/* It is there already, and a link to it is as good. */
	li_index_close(open_index());
	assert_int_equal(li_index_open("link", 0, &index), 0);
	li_index_close(index);
}

static void test_an_index_must_be_this_users_alone(void **state)
{
	static const struct {
		const char *name;
		uid_t uid;
		mode_t mode;
		int r;
	} rows[] = {
		{"this user's", 0, 0755, 0},	     {"nobody else's to read", 0, 0700, 0},
		{"another user's", 1, 0755, -EPERM}, {"the group's too", 0, 0775, -EPERM},
		{"everybody's", 0, 0757, -EPERM},    {"everybody's, as /tmp is", 0, 01777, -EPERM},
	};

	(void)state;
	require_root();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct li_index *index = NULL;

		make_dir("index");
		assert_return_code(chown("index", rows[i].uid, 0), errno);
		assert_return_code(chmod("index", rows[i].mode), errno);
		same_int(rows[i].name, li_index_open("index", 1, &index), rows[i].r);
		li_index_close(index);
	}
}

static void test_a_published_entry_replaces_the_old_one(void **state)
{
	cleanup_with(index_close) struct li_index *index = open_index();
	struct stat first, second;

	(void)state;
	assert_int_equal(load(index), -ENOENT);
	assert_int_equal(publish(index, 1), 0);
	assert_int_equal(load(index), 1);
	assert_return_code(stat(entry_path(), &first), errno);
	assert_int_equal(first.st_mode & 07777, 0600);
	assert_string_equal(names(), key_name);
	/* Another file takes its place: who reads the one that was there goes on. */
	assert_int_equal(publish(index, 2), 0);
	assert_int_equal(load(index), 2);
	assert_return_code(stat(entry_path(), &second), errno);
	assert_true(first.st_ino != second.st_ino);
	assert_string_equal(names(), key_name);
}

/* What has the name, and is none of ours: it is not believed, and replaced. */
static void test_a_foreign_file_is_not_believed_and_is_replaced(void **state)
{
	static char zeros[FACTS_FILE_MAX + 1];
	cleanup_with(index_close) struct li_index *index = open_index();
	const char *path = entry_path();

	(void)state;
	require_root();
	make_file(path, "");
	assert_int_equal(load(index), -EINVAL);
	make_bytes(path, zeros, FACTS_FILE_MAX);
	assert_int_equal(load(index), -EINVAL);
	make_bytes(path, zeros, sizeof(zeros));
	assert_int_equal(load(index), -EINVAL);
	make_bytes(path, "UVFX\1\0\0\0", 8);
	assert_int_equal(load(index), -EPROTO);
	assert_int_equal(publish(index, 1), 0);
	assert_return_code(chown(path, 1, 0), errno);
	assert_int_equal(load(index), -EINVAL);
	assert_int_equal(publish(index, 2), 0);
	assert_return_code(chmod(path, 0620), errno);
	assert_int_equal(load(index), -EINVAL);
	assert_return_code(chmod(path, 0602), errno);
	assert_int_equal(load(index), -EINVAL);
	assert_return_code(chmod(path, 0444), errno);
	assert_int_equal(load(index), 2);
	/* The file it leads to would do. */
	assert_return_code(rename(path, "moved"), errno);
	make_link("../moved", path);
	assert_int_equal(load(index), -EINVAL);
	assert_int_equal(publish(index, 3), 0);
	assert_int_equal(load(index), 3);
	/* Nobody waits for the other end. */
	assert_return_code(unlink(path), errno);
	make_node(path, S_IFIFO | 0600, 0);
	assert_int_equal(load(index), -EINVAL);
	assert_int_equal(publish(index, 4), 0);
	assert_int_equal(load(index), 4);
	assert_return_code(unlink(path), errno);
	make_dir(path);
	assert_int_equal(load(index), -EINVAL);
	assert_int_equal(publish(index, 5), -EISDIR);
	assert_string_equal(names(), key_name);
}

/* Under another key than its own. */
static void test_an_entry_under_another_key_is_damaged(void **state)
{
	static const struct chain_key other = {{1, 2}};
	cleanup_with(index_close) struct li_index *index = open_index();

	(void)state;
	assert_int_equal(publish_about(index, &other, "/layer", 1), 0);
	assert_return_code(rename("index/00000000000000010000000000000002", entry_path()), errno);
	assert_int_equal(load(index), -EINVAL);
}

/* Nothing is left of what could not be written. */
static void test_a_full_disk_leaves_no_file(void **state)
{
	static const char zeros[4096];
	struct li_index *index;
	ssize_t n;
	int fd;

	(void)state;
	private_mounts();
	make_dir("index");
	assert_return_code(mount("none", "index", "tmpfs", 0, "size=64k,mode=700"), errno);
	index = open_index();
	fd = open("index/rest", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_return_code(fd, errno);
	do
		n = write(fd, zeros, sizeof(zeros));
	while (n > 0);
	assert_int_equal(publish(index, 1), -ENOSPC);
	assert_string_equal(names(), "rest");
	assert_return_code(unlink("index/rest"), errno);
	close(fd);
	assert_int_equal(publish(index, 1), 0);
	assert_int_equal(load(index), 1);
	/* Where it may only be read it is of use all the same. */
	use(entry_path(), 1);
	assert_return_code(mount("none", "index", "tmpfs", MS_REMOUNT | MS_RDONLY, NULL), errno);
	assert_int_equal(publish(index, 2), -EROFS);
	assert_int_equal(load(index), 1);
	li_index_close(index);
	assert_return_code(umount("index"), errno);
}

static void ignore(const struct li_index_entry *entry, void *context)
{
	(void)entry;
	(void)context;
}

/* Of those that are used the time is noted, though not each time; to look at them is no use. */
static void test_a_use_is_noted_once_an_hour_and_a_look_is_none(void **state)
{
	cleanup_with(index_close) struct li_index *index = open_index();
	time_t now = time(NULL);

	(void)state;
	assert_int_equal(publish(index, 1), 0);
	use(entry_path(), now - HOUR + 60);
	assert_int_equal(load(index), 1);
	assert_int_equal(used(entry_path()), now - HOUR + 60);
	use(entry_path(), now - HOUR - 60);
	assert_int_equal(li_index_each(index, ignore, NULL), 0);
	assert_int_equal(used(entry_path()), now - HOUR - 60);
	assert_int_equal(load(index), 1);
	assert_true(used(entry_path()) >= now);
}

static void show(const struct li_index_entry *entry, void *context)
{
	static const char *const states[] = {"current", "stale", "damaged", "temporary"};
	char *lines = context, line[256];
	size_t done = strlen(lines);

	snprintf(line, sizeof(line), "%.5s %s %zu %zu %s|", entry->name, states[entry->state],
		 entry->layers, entry->paths, entry->layer);
	strcpy(lines + done, line);
	assert_true(entry->bytes % 512 == 0);
	assert_true(entry->state == LI_ENTRY_TEMPORARY || entry->used.tv_sec == 1000000);
}

static bool shows(const struct li_index *index, const char *part)
{
	char lines[1024] = "";

	assert_int_equal(li_index_each(index, show, lines), 0);
	return strstr(lines, part);
}

static void test_each_entry_is_shown_with_its_state(void **state)
{
	static const struct chain_key keys[] = {{{1ULL << 60}}, {{2ULL << 60}}};
	cleanup_with(index_close) struct li_index *index = open_index();
	char lines[1024] = "";

	(void)state;
	require_identities();
	make_dir("layer");
	assert_int_equal(publish_about(index, &keys[0], "layer", 1), 0);
	assert_int_equal(publish_about(index, &keys[1], "gone", 1), 0);
	make_file("index/30000000000000000000000000000000", "damaged");
	make_file("index/.new-0123456789abcdef", "half of it");
	make_file("index/README", "somebody else's");
	make_file("index/.new-0123456789ABCDEF", "as well");
	make_file("index/1000000000000000000000000000000", "a digit less");
	use("index/10000000000000000000000000000000", 1000000);
	use("index/20000000000000000000000000000000", 1000000);
	use("index/30000000000000000000000000000000", 1000000);
	assert_true(shows(index, "10000 current 9 1 layer|"));
	assert_true(shows(index, "20000 stale 9 1 gone|"));
	assert_true(shows(index, "30000 damaged 0 0 |"));
	assert_true(shows(index, ".new- temporary 0 0 |"));
	assert_int_equal(li_index_each(index, show, lines), 0);
	assert_int_equal(strlen(lines), strlen("10000 current 9 1 layer|20000 stale 9 1 gone|"
					       "30000 damaged 0 0 |.new- temporary 0 0 |"));
	/* Another one at the same path. */
	assert_return_code(rename("layer", "moved"), errno);
	make_dir("layer");
	assert_true(shows(index, "10000 stale 9 1 layer|"));
}

/* A supervisor in another mount namespace sees the layers through other mounts. */
static void test_another_mount_namespace_sees_the_entries_as_current(void **state)
{
	cleanup_with(index_close) struct li_index *index = open_index();

	(void)state;
	require_identities();
	make_dir("layer");
	assert_int_equal(publish_about(index, &key, "layer", 1), 0);
	use(entry_path(), 1000000);
	private_mounts();
	assert_true(shows(index, "01234 current 9 1 layer|"));
}

static void test_removing_a_missing_entry_succeeds(void **state)
{
	cleanup_with(index_close) struct li_index *index = open_index();

	(void)state;
	assert_int_equal(publish(index, 1), 0);
	assert_int_equal(li_index_remove(index, key_name), 0);
	assert_string_equal(names(), "");
	/* Somebody else was faster. */
	assert_int_equal(li_index_remove(index, key_name), 0);
	make_dir(entry_path());
	assert_int_equal(li_index_remove(index, key_name), -EISDIR);
}

/* Makes a file of the index that takes a megabyte. */
static void make_large(char digit, time_t when)
{
	char path[64] = "index/";
	int fd;

	memset(path + strlen(path), digit, CHAIN_KEY_NAME);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_return_code(fd, errno);
	assert_int_equal(posix_fallocate(fd, 0, 1 << 20), 0);
	close(fd);
	use(path, when);
}

static void test_trimming_removes_the_oldest_entries_only(void **state)
{
	cleanup_with(index_close) struct li_index *index = open_index();
	const char digits[] = "0123456789abcdef";
	size_t left = LI_INDEX_BYTES_MAX >> 20;

	(void)state;
	assert_int_equal(left, strlen(digits));
	make_file("index/README", "somebody else's");
	use("index/README", 1);
	for (size_t i = 0; i < left; i++)
		make_large(digits[i], (time_t)(1000 - i));
	index_trim(index);
	assert_int_equal(strlen(names()), left * (CHAIN_KEY_NAME + 1) + strlen("README"));
	/* One more, and more than that goes: those that were used first. */
	assert_int_equal(publish(index, 1), 0);
	index_trim(index);
	assert_int_equal(load(index), 1);
	assert_int_equal(strlen(names()), (left / 4 * 3) * (CHAIN_KEY_NAME + 1) + strlen("README"));
	assert_return_code(access("index/README", F_OK), errno);
	for (size_t i = 0; i < left; i++) {
		char path[64] = "index/";

		memset(path + strlen(path), digits[i], CHAIN_KEY_NAME);
		same_int(path, access(path, F_OK) == 0, i < left / 4 * 3 - 1);
	}
}

/* The directories that do not outlive the machine's run need not say which it was. */
static void test_only_a_lasting_directory_records_the_boot(void **state)
{
	static const uint8_t none[16];
	struct li_index *index = open_index();

	(void)state;
	private_mounts();
	assert_true(memcmp(index->boot, none, sizeof(none)) != 0);
	li_index_close(index);
	assert_return_code(mount("none", "index", "tmpfs", 0, "mode=700"), errno);
	index = open_index();
	assert_memory_equal(index->boot, none, sizeof(none));
	li_index_close(index);
	assert_return_code(umount("index"), errno);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_an_index_is_opened_or_made),
		scratch_test(test_an_index_must_be_this_users_alone),
		scratch_test(test_a_published_entry_replaces_the_old_one),
		scratch_test(test_a_foreign_file_is_not_believed_and_is_replaced),
		scratch_test(test_an_entry_under_another_key_is_damaged),
		scratch_test(test_a_full_disk_leaves_no_file),
		scratch_test(test_a_use_is_noted_once_an_hour_and_a_look_is_none),
		scratch_test(test_each_entry_is_shown_with_its_state),
		scratch_test(test_another_mount_namespace_sees_the_entries_as_current),
		scratch_test(test_removing_a_missing_entry_succeeds),
		scratch_test(test_trimming_removes_the_oldest_entries_only),
		scratch_test(test_only_a_lasting_directory_records_the_boot),
	};

	return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}
