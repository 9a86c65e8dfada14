/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/layer/layer.h"

#include <linux/capability.h>
#include <linux/mount.h>
#include <sys/syscall.h>

#include "tests/unit/fixture.h"

static const char *read_beneath(struct layer *layer, const char *path)
{
	static char text[64];
	bool no_openat2 = false;
	cleanup_close int fd = layer_open_path(layer, path, &no_openat2);
	cleanup_close int file = -EBADF;
	char link[32];

	if (fd < 0)
		return strerrorname_np(-fd);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	file = open(link, O_RDONLY | O_CLOEXEC);
	assert_return_code(file, errno);
	snprintf(text, sizeof(text), "%s", content_of(file));
	return text;
}

static void test_only_a_directory_is_opened_as_a_layer(void **state)
{
	static const struct {
		const char *path;
		int r;
	} rows[] = {
		{"d", 0},
		{"link", 0}, /* as the kernel's lowerdir= follows it */
		{"missing", -ENOENT},
		{"file", -ENOTDIR},
		{"dangling", -ENOENT},
	};

	(void)state;
	make_dir("d");
	make_file("file", "");
	make_link("d", "link");
	make_link("nope", "dangling");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct layer layer = layer_of(rows[i].path);

		same_int(rows[i].path, layer_open(&layer), rows[i].r);
		same_int(rows[i].path, layer.fd >= 0, rows[i].r == 0);
		layer_close(&layer);
	}
}

static void test_a_layer_that_was_replaced_is_not_opened_again(void **state)
{
	struct layer layer;

	(void)state;
	make_file("d/f", "content");
	layer = layer_of("d");
	assert_int_equal(layer_open(&layer), 0);
	/* While it is open nothing is opened anew. */
	assert_return_code(rename("d", "moved"), errno);
	assert_int_equal(layer_open(&layer), 0);
	assert_string_equal(read_beneath(&layer, "f"), "content");
	layer_close(&layer);
	assert_int_equal(layer.fd, -EBADF);
	assert_int_equal(layer_open(&layer), -ENOENT);
	make_file("d/f", "another");
	assert_int_equal(layer_open(&layer), -ESTALE);
	assert_int_equal(layer.fd, -EBADF);
	remove_tree(AT_FDCWD, "d");
	assert_return_code(rename("moved", "d"), errno);
	assert_int_equal(layer_open(&layer), 0);
	layer_close(&layer);
}

/* Before Linux 5.2, and under valgrind, which passes on only the system calls that it knows. */
static void require_open_tree(void)
{
	cleanup_close int fd = syscall(SYS_open_tree, AT_FDCWD, ".", OPEN_TREE_CLOEXEC);

	if (fd < 0 && errno == ENOSYS) {
		print_message("skipped: kernel: no open_tree(2)\n");
		skip();
	}
}

/* Mounts below a layer are not seen: what they cover is, as overlayfs's private clone shows it. */
static void test_a_mount_inside_a_layer_is_not_seen(void **state)
{
	struct layer layer;

	(void)state;
	require_open_tree();
	private_mounts();
	make_file("d/m/f", "covered");
	make_file("d/plain", "content");
	assert_return_code(mount("none", "d/m", "tmpfs", 0, NULL), errno);
	make_file("d/m/f", "of the mount");
	layer = layer_of("d");
	assert_int_equal(layer_open(&layer), 0);
	assert_string_equal(read_beneath(&layer, "plain"), "content");
	/* By the descriptor: no path leads there any more. */
	assert_return_code(rename("d", "moved"), errno);
	assert_string_equal(read_beneath(&layer, "m/f"), "covered");
	assert_return_code(rename("moved", "d"), errno);
	assert_string_equal(read_beneath(&layer, "plain"), "content");
	/* Opened again it is still the same directory, and still without its mounts. */
	layer_close(&layer);
	assert_int_equal(layer_open(&layer), 0);
	assert_string_equal(read_beneath(&layer, "m/f"), "covered");
	layer_close(&layer);
	assert_return_code(umount("d/m"), errno);
}

/* Refused, and refused alike the next time, where a mount cannot be cloned. */
static int without_privilege(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
	struct layer layer = {.path = (char *)"d", .fd = -EBADF};

	if (syscall(SYS_capset, &header, none) < 0 || layer_open(&layer) < 0)
		return 1;
	for (int i = 0; i < 2; i++) {
		bool no_openat2 = false;

		if (layer_open_path(&layer, "m/f", &no_openat2) != -EXDEV)
			return 2;
		if (layer_open(&layer) < 0)
			return 3;
	}
	return 0;
}

static void test_a_mount_inside_a_layer_is_not_entered_without_privilege(void **state)
{
	int r;

	(void)state;
	require_open_tree();
	private_mounts();
	make_dir("d/m");
	assert_return_code(chmod(".", 0755), errno);
	assert_return_code(mount("none", "d/m", "tmpfs", 0, NULL), errno);
	r = in_child(without_privilege);
	assert_return_code(umount("d/m"), errno);
	assert_int_equal(r, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_only_a_directory_is_opened_as_a_layer),
		scratch_test(test_a_layer_that_was_replaced_is_not_opened_again),
		scratch_test(test_a_mount_inside_a_layer_is_not_seen),
		scratch_test(test_a_mount_inside_a_layer_is_not_entered_without_privilege),
	};

	return cmocka_run_group_tests_name("layer", tests, NULL, NULL);
}
