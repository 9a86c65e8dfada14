/* SPDX-License-Identifier: Apache-2.0 */
/* Each row was seen to hold for openat2(RESOLVE_IN_ROOT) on a mounted overlay. */
#include "layerindex/layerindex.h"
#include "tests/unit/fixture.h"

static struct li_stack *open_two(void)
{
	char *const paths[] = {(char *)"T", (char *)"B"};
	struct li_stack *stack = NULL;
	size_t bad;

	require_root();
	same_int("li_stack_open", li_stack_open(paths, 2, 0, NULL, &stack, &bad), 0);
	return stack;
}

/* "LAYER:NAME" of a file, with a slash after a directory and an @ after a link; or the error. */
static const char *resolve(struct li_stack *stack, const char *path, unsigned flags)
{
	cleanup_with(li_file_done) struct li_file file = LI_FILE_INIT;
	static char text[512];
	int r = li_resolve(stack, path, flags, &file);

	if (r < 0)
		return strerrorname_np(-r);
	assert_int_equal(fcntl(file.fd, F_GETFD), FD_CLOEXEC);
	snprintf(text, sizeof(text), "%c:%s%s", file.layer == 0 ? 'T' : 'B', file.name,
		 S_ISDIR(file.st.st_mode)   ? "/"
		 : S_ISLNK(file.st.st_mode) ? "@"
					    : "");
	return text;
}

static void make_tree(void)
{
	require_root();
	make_dir("T");
	make_file("B/etc/conf", "");
	make_file("B/etc/low", "");
	make_file("T/etc/top", "");
	make_file("B/f", "");
	make_whiteout("T/gone");
	make_file("B/gone", "");
	make_link("gone", "B/to-gone");
	make_link("/etc/conf", "B/absolute");
	make_link("etc/conf", "T/relative");
	make_link("../../../../etc/conf", "T/b/escape");
	make_link("../../..", "T/dots");
	make_link("/etc", "B/directory");
	make_link("etc/conf/", "B/slash");
	make_link("/nope", "B/dangling");
	make_link(".", "B/self");
	make_link("loop-b", "T/loop-a");
	make_link("loop-a", "B/loop-b");
	make_link("usr/lib64", "T/lib64");
	make_file("B/usr/lib64/so", "");
	make_file("B/lib/x", "");
	make_link("/host", "B/over/l");
	make_file("T/over/l/x", "");
}

static void test_each_path_leads_where_the_merged_tree_says(void **state)
{
	static const struct {
		const char *path;
		unsigned flags;
		const char *want;
	} rows[] = {
		{"/", 0, "T:/"},
		{".", 0, "T:/"},
		{"..", 0, "T:/"},
		{"//etc///conf", 0, "B:etc/conf"},
		{"etc/./top", 0, "T:etc/top"},
		{"etc/", 0, "T:etc/"},
		{"etc/..", 0, "T:/"},
		{"/../../etc/low", 0, "B:etc/low"},
		{"", 0, "ENOENT"},
		{"nope", 0, "ENOENT"},
		{"nope/../etc/low", 0, "ENOENT"},
		{"gone", 0, "ENOENT"},
		{"to-gone", 0, "ENOENT"},
		/* A leaf is no directory. */
		{"f/", 0, "ENOTDIR"},
		{"f/.", 0, "ENOTDIR"},
		{"f/..", 0, "ENOTDIR"},
		{"f/x", 0, "ENOTDIR"},
		/* Links go through the merged tree, whatever layer they are in. */
		{"absolute", 0, "B:etc/conf"},
		{"absolute", LI_RESOLVE_NOFOLLOW, "B:absolute@"},
		{"relative", 0, "B:etc/conf"},
		{"b/escape", 0, "B:etc/conf"},
		{"dots/etc/low", 0, "B:etc/low"},
		{"directory", 0, "T:etc/"},
		{"directory/top", 0, "T:etc/top"},
		{"directory/low", LI_RESOLVE_NOFOLLOW, "B:etc/low"},
		/* A directory in an upper layer stands before a link in a lower one. */
		{"over/l/x", 0, "T:over/l/x"},
		/* A slash after a link asks for the directory it leads to, O_NOFOLLOW or not. */
		{"directory/", LI_RESOLVE_NOFOLLOW, "T:etc/"},
		{"relative/", 0, "ENOTDIR"},
		{"relative/", LI_RESOLVE_NOFOLLOW, "ENOTDIR"},
		{"slash", 0, "ENOTDIR"},
		{"dangling", 0, "ENOENT"},
		{"dangling", LI_RESOLVE_NOFOLLOW, "B:dangling@"},
		{"dangling/", LI_RESOLVE_NOFOLLOW, "ENOENT"},
		{"loop-a", 0, "ELOOP"},
		{"loop-a/x", 0, "ELOOP"},
		{"loop-a", LI_RESOLVE_NOFOLLOW, "T:loop-a@"},
		/* ".." is the parent of the directory that was reached, not of the name. */
		{"lib64/../lib/x", 0, "ENOENT"},
		{"lib64/../../lib/x", 0, "B:lib/x"},
	};
	struct li_stack *stack;

	(void)state;
	make_tree();
	stack = open_two();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		same_str(rows[i].path, resolve(stack, rows[i].path, rows[i].flags), rows[i].want);
	li_stack_close(stack);
}

/* "self/self/…/" and *last*, with *n* links before it. */
static char *links_path(size_t n, const char *last)
{
	char *path = malloc(n * strlen("self/") + strlen(last) + 1);
	char *end = path;

	assert_non_null(path);
	while (n-- > 0)
		end = stpcpy(end, "self/");
	strcpy(end, last);
	return path;
}

static char *repeated(char c, size_t n, const char *end)
{
	char *text = malloc(n + strlen(end) + 1);

	assert_non_null(text);
	memset(text, c, n);
	strcpy(text + n, end);
	return text;
}

static void test_links_names_and_paths_are_limited(void **state)
{
	cleanup_free char *links = links_path(LI_LINKS_MAX, "f");
	cleanup_free char *links_more = links_path(LI_LINKS_MAX + 1, "f");
	cleanup_free char *links_link = links_path(LI_LINKS_MAX, "self");
	cleanup_free char *name = repeated('n', LI_NAME_MAX, "");
	cleanup_free char *name_more = repeated('n', LI_NAME_MAX + 1, "");
	cleanup_free char *path = repeated('/', LI_PATH_MAX - 1, "f");
	cleanup_free char *path_more = repeated('/', LI_PATH_MAX, "f");
	cleanup_free char *body = repeated('/', LI_PATH_MAX - 1, "f");
	cleanup_free char *long_link = repeated('/', LI_PATH_MAX - 4, "body");
	struct li_stack *stack;

	(void)state;
	make_tree();
	make_link(body, "B/body");
	make_link("body", "B/last");
	stack = open_two();
	same_str("40 links", resolve(stack, links, 0), "B:f");
	same_str("41 links", resolve(stack, links_more, 0), "ELOOP");
	same_str("40 links and a link", resolve(stack, links_link, 0), "ELOOP");
	/* A final link that is not followed is not counted. */
	same_str("the same, not followed", resolve(stack, links_link, LI_RESOLVE_NOFOLLOW),
		 "B:self@");
	same_str("255 bytes", resolve(stack, name, 0), "ENOENT");
	same_str("256 bytes", resolve(stack, name_more, 0), "ENAMETOOLONG");
	same_str("path of 4095 bytes", resolve(stack, path, 0), "B:f");
	same_str("path of 4096 bytes", resolve(stack, path_more, 0), "ENAMETOOLONG");
	/* A body may be as long as a path, and does not add up. */
	same_str("body of 4095 bytes", resolve(stack, long_link, 0), "B:f");
	li_stack_close(stack);
}

static void test_redirects_and_metacopies_are_rejected(void **state)
{
	struct li_stack *stack;

	(void)state;
	require_root();
	make_dir("T/moved");
	make_mark("T/moved", "trusted.overlay.redirect", "/old", 4);
	make_dir("T/invalid");
	make_mark("T/invalid", "trusted.overlay.redirect", "a/b", 3);
	make_file("B/meta", "");
	make_mark("B/meta", "trusted.overlay.metacopy", "", 0);
	make_file("B/bad", "");
	make_mark("B/bad", "trusted.overlay.metacopy", "a", 1);
	make_file("B/old/f", "");
	stack = open_two();
	assert_string_equal(resolve(stack, "moved/f", 0), "EPERM");
	assert_string_equal(resolve(stack, "invalid", 0), "EINVAL");
	assert_string_equal(resolve(stack, "meta", 0), "EPERM");
	assert_string_equal(resolve(stack, "bad", 0), "EIO");
	assert_string_equal(resolve(stack, "old/f", 0), "B:old/f");
	li_stack_close(stack);
}

static void test_a_resolved_file_is_opened_if_it_is_regular(void **state)
{
	cleanup_with(li_file_done) struct li_file file = LI_FILE_INIT;
	cleanup_with(li_file_done) struct li_file other = LI_FILE_INIT;
	struct li_stack *stack;
	int fd;

	(void)state;
	require_root();
	make_file("B/f", "content");
	make_dir("T");
	make_node("T/fifo", S_IFIFO | 0600, 0);
	stack = open_two();
	assert_int_equal(li_resolve(stack, "f", 0, &file), 0);
	/* The inode is pinned, whatever becomes of its name. */
	assert_return_code(rename("B/f", "B/g"), errno);
	make_file("B/f", "another");
	fd = li_file_open(&file);
	assert_return_code(fd, errno);
	assert_string_equal(content_of(fd), "content");
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	close(fd);
	assert_int_equal(li_resolve(stack, "fifo", 0, &other), 0);
	assert_int_equal(li_file_open(&other), -EINVAL);
	li_file_done(&other);
	assert_int_equal(li_resolve(stack, "/", 0, &other), 0);
	assert_int_equal(li_file_open(&other), -EINVAL);
	li_stack_close(stack);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_each_path_leads_where_the_merged_tree_says),
		scratch_test(test_links_names_and_paths_are_limited),
		scratch_test(test_redirects_and_metacopies_are_rejected),
		scratch_test(test_a_resolved_file_is_opened_if_it_is_regular),
	};

	return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}
