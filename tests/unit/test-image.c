/* SPDX-License-Identifier: Apache-2.0 */
/* A stored image: what each answer of the store is to a view. */
#include "fuse/source/image.h"

#include "tests/unit/fixture-store.h"
#include "tests/unit/fixture-view.h"

/* Files that *path* is something else. */
static void must_add_other(const struct li_store *store, const char *path, int reason)
{
	cleanup_with(li_store_facts_done) struct li_store_facts facts = {};
	struct li_store_facts image = {.key = chain_of(1)};
	cleanup_close int lock = li_store_lock(store, &image.key, NULL);
	struct li_store_addition addition = {
		.answer = {.path = path, .kind = LI_STORE_OTHER, .reason = reason},
		.fd = -EBADF,
	};

	same_int(path,
		 li_store_add(store, lock, &image, &addition, 1, &LI_STORE_UNLIMITED, NULL, &facts),
		 0);
}

/* Opens the stored image, which must come to *code*. */
static void open_image(uint8_t chain, struct image *ret, enum view_code code, const char *part)
{
	struct li_store_key key = chain_of(chain);
	VIEW_ERROR(error);
	int r = image_open_stored(&key, "store", true, ret, &error);

	/* What adding the image may change is a miss. */
	if (part && strstr(part, "lacks"))
		assert_int_equal(r, IMAGE_MISS);
	same_error("image", r < 0 ? -ECANCELED : r, &error, code, part);
}

static void test_an_artifact_has_stored_bytes_and_the_images_attributes(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	cleanup_with(image_close) struct image image = {};
	cleanup_with(image_file_done) struct image_file file = IMAGE_FILE_INIT;
	cleanup_free char *origin = NULL;
	struct stat st;

	(void)state;
	make_file("source", "bytes");
	assert_return_code(chmod("source", 0751), errno);
	assert_return_code(stat("source", &st), errno);
	assert_int_equal(add_file(store, 1, "/k", "source", &LI_STORE_UNLIMITED), 0);
	open_image(1, &image, CODE_NONE, NULL);
	assert_int_equal(image.layers, 0);
	assert_int_equal(image_find(&image, "/k", &file), 0);
	same_str("content", content_of(file.fd), "bytes");
	assert_int_equal(file.st.st_mode, S_IFREG | 0751);
	assert_int_equal(file.st.st_size, 5);
	assert_int_equal(file.st.st_mtim.tv_sec, st.st_mtim.tv_sec);
	assert_int_equal(file.st.st_mtim.tv_nsec, st.st_mtim.tv_nsec);
	origin = image_origin(&image, &file);
	has_str("origin", origin, "store/objects/");
	has_str("words", image_in_words(&image).text, "image sha256:010101000");
	assert_false(image_can_wait(&image));
}

static void test_answers_are_the_errors_of_a_walk(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	cleanup_with(image_close) struct image image = {};
	static const struct {
		const char *path;
		int reason; /* 0: absent */
		int r;
	} rows[] = {
		{"/absent", 0, -ENOENT},
		{"/loop", ELOOP, -ELOOP},
		{"/mark", IMAGE_MARK, -IMAGE_MARK},
		{"/target", IMAGE_TARGET_PATH, -IMAGE_TARGET_PATH},
		/* A number that another version may file. */
		{"/future", 4095, -4095},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].reason)
			must_add_other(store, rows[i].path, rows[i].reason);
		else
			must_add(store, 1, rows[i].path, NULL);
	}
	open_image(1, &image, CODE_NONE, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_with(image_file_done) struct image_file file = IMAGE_FILE_INIT;

		same_int(rows[i].path, image_find(&image, rows[i].path, &file), rows[i].r);
		same_int(rows[i].path, image_met_mark(&image), rows[i].reason == IMAGE_MARK);
	}
}

static void test_types_survive_the_store(void **state)
{
	static const mode_t types[] = {S_IFDIR, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};
	cleanup_with(close_store) struct li_store *store = open_store("store");
	cleanup_with(image_close) struct image image = {};
	char path[] = "/0";

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++, path[1]++)
		must_add_other(store, path, image_reason_of_type(types[i] | 0644));
	open_image(1, &image, CODE_NONE, NULL);
	path[1] = '0';
	for (size_t i = 0; i < ARRAY_SIZE(types); i++, path[1]++) {
		cleanup_with(image_file_done) struct image_file file = IMAGE_FILE_INIT;

		same_int(path, image_find(&image, path, &file), 0);
		same_int(path, file.fd, -EBADF);
		same_int(path, file.st.st_mode & S_IFMT, types[i]);
	}
}

static void test_what_the_store_lacks_is_a_miss(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	cleanup_with(image_close) struct image image = {};
	cleanup_with(image_close) struct image none = {};
	cleanup_with(image_file_done) struct image_file file = IMAGE_FILE_INIT;
	char long_name[LI_NAME_MAX + 3];
	char object[128];

	(void)state;
	must_add(store, 1, "/k", "bytes");
	open_image(2, &none, CODE_ENOTAPPLICABLE, "lacks image sha256:020202");
	open_image(1, &image, CODE_NONE, NULL);
	assert_int_equal(image_find(&image, "/other", &file), IMAGE_MISS);
	object_path("bytes", object);
	assert_return_code(unlink(object), errno);
	assert_int_equal(image_find(&image, "/k", &file), IMAGE_MISS);
	/* No answer can be filed for it: it is in no image. */
	memset(long_name, 'a', sizeof(long_name));
	long_name[0] = '/';
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(image_find(&image, long_name, &file), -ENAMETOOLONG);
}

static void test_a_store_that_is_unsafe_or_damaged_is_not_applicable(void **state)
{
	cleanup_with(close_store) struct li_store *store = open_store("store");
	cleanup_with(image_close) struct image image = {};
	char path[128];

	(void)state;
	must_add(store, 1, "/k", "bytes");
	chain_path(1, path);
	assert_return_code(truncate(path, 60), errno);
	open_image(1, &image, CODE_ENOTAPPLICABLE, "is not used");
	assert_return_code(chmod("store", 0755), errno);
	open_image(1, &image, CODE_ENOTAPPLICABLE, "is not used");
}

static void test_the_default_store_depends_on_the_user(void **state)
{
	cleanup_free char *given = store_directory_path("given");
	cleanup_free char *path = NULL;

	(void)state;
	assert_string_equal(given, "given");
	setenv("XDG_CACHE_HOME", "/xdg", 1);
	setenv("HOME", "/home/u", 1);
	path = store_directory_path(NULL);
	assert_string_equal(path, geteuid() == 0 ? "/var/cache/urunc-viewfs" : "/xdg/urunc-viewfs");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_an_artifact_has_stored_bytes_and_the_images_attributes),
		scratch_test(test_answers_are_the_errors_of_a_walk),
		scratch_test(test_types_survive_the_store),
		scratch_test(test_what_the_store_lacks_is_a_miss),
		scratch_test(test_a_store_that_is_unsafe_or_damaged_is_not_applicable),
		cmocka_unit_test(test_the_default_store_depends_on_the_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
