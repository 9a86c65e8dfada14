/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/view/view.h"

#include "tests/unit/fixture-view.h"

static struct artifact *artifact_at(struct view *view, const char *path)
{
	for (size_t i = 0; i < view->artifact_count; i++)
		if (strcmp(view->artifacts[i].path, path) == 0)
			return &view->artifacts[i];
	fail_msg("no artifact '%s'", path);
	return NULL;
}

/* The node at a path from the root, or 0. */
static uint32_t node_at(const struct view *view, const char *path)
{
	cleanup_free char *copy = strdup(path);
	char *rest = copy;
	char *name;
	uint32_t node = VIEW_ROOT;

	while (node && (name = strsep(&rest, "/")))
		node = view_lookup(view, node, name);
	return node;
}

static void test_nodes_are_found_by_name_and_listed(void **state)
{
	VIEW_ERROR(error);
	cleanup_with(view_done) struct view view = {};
	uint32_t directory;

	(void)state;
	assert_int_equal(make_view(&view, "", "/boot/a/kernel", "boot/initrd", &error), 0);
	assert_int_equal(view.artifact_count, 3);
	assert_int_equal(view.node_count, 2 + 5);
	directory = view_lookup(&view, VIEW_ROOT, "boot");
	assert_int_not_equal(directory, 0);
	assert_null(view.nodes[directory].artifact);
	assert_int_equal(view.nodes[directory].parent, VIEW_ROOT);
	assert_ptr_equal(view.nodes[node_at(&view, "boot/initrd")].artifact,
			 artifact_at(&view, "/boot/initrd"));
	assert_ptr_equal(view.nodes[node_at(&view, "boot/a/kernel")].artifact,
			 artifact_at(&view, "/boot/a/kernel"));
	assert_ptr_equal(view.nodes[node_at(&view, "urunc.json")].artifact,
			 artifact_at(&view, "/urunc.json"));
	/* Nothing else exists. */
	assert_int_equal(view_lookup(&view, VIEW_ROOT, "boo"), 0);
	assert_int_equal(view_lookup(&view, VIEW_ROOT, "boots"), 0);
	assert_int_equal(view_lookup(&view, VIEW_ROOT, "boot/a"), 0);
	assert_int_equal(view_lookup(&view, VIEW_ROOT, ""), 0);
	assert_int_equal(view_lookup(&view, directory, "kernel"), 0);
	assert_int_equal(view_lookup(&view, node_at(&view, "urunc.json"), "x"), 0);
}

static void test_each_artifact_has_its_roles(void **state)
{
	static const struct {
		const char *binary, *initrd;
		const char *path, *roles; /* of one of the artifacts */
		size_t artifacts;
	} rows[] = {
		{"/k", "/i", "/urunc.json", "config", 3},
		{"/k", NULL, "/k", "binary", 2},
		{"/k", "/i", "/i", "initrd", 3},
		/* One file with two roles is one node, spelled as one likes. */
		{"/k", "/k", "/k", "binary+initrd", 2},
		{"/k", "k", "/k", "binary+initrd", 2},
		{"urunc.json", NULL, "/urunc.json", "config+binary", 1},
		{"/k", "urunc.json", "/urunc.json", "config+initrd", 2},
		{"/urunc.json", "/urunc.json", "/urunc.json", "config+binary+initrd", 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		VIEW_ERROR(error);
		cleanup_with(view_done) struct view view = {};
		int r = make_view(&view, "", rows[i].binary, rows[i].initrd, &error);

		same_error(rows[i].roles, r, &error, CODE_NONE, NULL);
		same_str(rows[i].roles, roles_name(artifact_at(&view, rows[i].path)->roles),
			 rows[i].roles);
		same_int(rows[i].roles, view.artifact_count, rows[i].artifacts);
		same_int(rows[i].roles, view.node_count, 2 + rows[i].artifacts);
	}
}

static void test_conflicting_and_unclean_paths_are_rejected(void **state)
{
	static const struct {
		const char *binary, *initrd, *message;
	} rows[] = {
		{"/a", "/a/b", "initrd '/a/b' lies below '/a', which is a file"},
		{"/a/b/c", "/a", "binary '/a/b/c' lies below '/a'"},
		{"/urunc.json/k", NULL, "binary '/urunc.json/k' lies below '/urunc.json'"},
		{"/../k", NULL, "binary '/../k': the path is not clean"},
		{"/k", "/a b", "initrd '/a b': the path may hold only"},
		{"", NULL, "binary '': the path names no file"},
		{"/\x1b", NULL, "binary '/\\033': the path may hold only"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		VIEW_ERROR(error);
		cleanup_with(view_done) struct view view = {};
		int r = make_view(&view, "", rows[i].binary, rows[i].initrd, &error);

		same_error(rows[i].message, r, &error, CODE_EARTIFACT, rows[i].message);
	}
}

static void make_layers(void)
{
	require_root();
	make_file("B/kernel", "content");
	make_file("B/gone", "");
	make_whiteout("T/gone");
	make_file("B/hidden/k", "");
	make_whiteout("T/hidden");
	make_dir("T/directory");
	make_file("B/empty", "");
	make_node("T/fifo", S_IFIFO | 0600, 0);
	make_node("T/device", S_IFCHR | 0600, makedev(1, 3));
	make_link("/real/kernel", "T/link");
	make_file("B/real/kernel", "linked");
	make_link("/nope", "T/dangling");
	make_link("loop", "T/loop");
	make_link("/od d", "T/odd");
	make_file("B/od d", "");
	make_dir("T/moved");
	make_mark("T/moved", "trusted.overlay.redirect", "/real", 5);
	make_file("T/meta", "");
	make_mark("T/meta", "trusted.overlay.metacopy", "", 0);
	/* Marks that overlayfs calls invalid: EINVAL and EIO, which a layer may fail with too. */
	make_dir("T/bad");
	make_mark("T/bad", "trusted.overlay.redirect", "a/b", 3);
	make_file("T/short", "");
	make_mark("T/short", "trusted.overlay.metacopy", "a", 1);
}

static void test_an_artifact_is_resolved_or_has_its_error(void **state)
{
	static const struct {
		const char *binary;
		enum view_code code;
		const char *message; /* or the origin */
	} rows[] = {
		{"/kernel", CODE_NONE, "B/kernel"},
		/* Shown under the name that was asked for. */
		{"/link", CODE_NONE, "B/real/kernel"},
		{"/missing", CODE_ENOARTIFACT, "binary '/missing': not in any of 2 layers"},
		{"/gone", CODE_ENOARTIFACT, "not in any of 2 layers"},
		{"/hidden/k", CODE_ENOARTIFACT, "not in any of 2 layers"},
		{"/dangling", CODE_ENOARTIFACT, "not in any of 2 layers"},
		{"/kernel/k", CODE_ENOARTIFACT, "not in any of 2 layers"},
		{"/directory", CODE_EARTIFACT, "a directory, not a regular file"},
		{"/fifo", CODE_EARTIFACT, "a FIFO, not a regular file"},
		{"/device", CODE_EARTIFACT, "a device, not a regular file"},
		{"/empty", CODE_EARTIFACT, "binary '/empty' is empty"},
		{"/loop", CODE_EARTIFACT, "Too many levels of symbolic links"},
		/* Where links end is checked as the path itself. */
		{"/odd", CODE_EARTIFACT, "may hold only"},
		/* Marks are never followed. */
		{"/moved/kernel", CODE_EARTIFACT, "behind a redirect or metacopy mark"},
		{"/meta", CODE_EARTIFACT, "behind a redirect or metacopy mark"},
		{"/bad/kernel", CODE_EARTIFACT, "behind a redirect or metacopy mark"},
		{"/short", CODE_EARTIFACT, "behind a redirect or metacopy mark"},
	};

	(void)state;
	make_layers();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		VIEW_ERROR(error);
		cleanup_with(view_done) struct view view = {};
		struct artifact *artifact;
		int r;

		assert_int_equal(make_view(&view, "", rows[i].binary, NULL, &error), 0);
		artifact = artifact_at(&view, rows[i].binary);
		r = artifact_resolve(&view, artifact, &error);
		same_error(rows[i].binary, r, &error, rows[i].code, rows[i].message);
		same_int(rows[i].binary, artifact->state,
			 r == 0 ? ARTIFACT_READY : ARTIFACT_MISSING);
		if (r < 0)
			continue;
		same_str(rows[i].binary, artifact->origin, rows[i].message);
		same_int(rows[i].binary, artifact->layer, 1);
		same_int(rows[i].binary, fcntl(artifact->fd, F_GETFL) & O_ACCMODE, O_RDONLY);
		/* Done once. */
		same_int(rows[i].binary, artifact_resolve(&view, artifact, &error), 0);
	}
}

/* All of them; a config that nothing was read from may be missing. */
static void test_all_artifacts_are_resolved_except_an_unused_config(void **state)
{
	VIEW_ERROR(error);
	cleanup_with(view_done) struct view whole = {}, broken = {};

	(void)state;
	make_layers();
	assert_int_equal(make_view(&whole, "", "/kernel", "/link", &error), 0);
	assert_int_equal(view_resolve(&whole, &SOURCE_INIT, &error), 0);
	assert_int_equal(error.code, CODE_NONE);
	assert_int_equal(artifact_at(&whole, "/urunc.json")->state, ARTIFACT_MISSING);
	assert_int_equal(artifact_at(&whole, "/kernel")->state, ARTIFACT_READY);
	assert_string_equal(content_of(artifact_at(&whole, "/link")->fd), "linked");
	/* The layers are let go of once nothing is left to be found in them. */
	view_release_layers(&whole);
	assert_null(whole.image.stack);
	assert_int_equal(artifact_resolve(&whole, artifact_at(&whole, "/kernel"), &error), 0);
	assert_int_equal(make_view(&broken, "", "/kernel", "/gone", &error), 0);
	assert_int_equal(view_resolve(&broken, &SOURCE_INIT, &error), -ECANCELED);
	same_error("gone", -ECANCELED, &error, CODE_ENOARTIFACT, "initrd '/gone'");
}

/* What nobody could find is lost with the layers, and nothing else. */
static void test_unresolved_artifacts_are_lost_with_the_layers(void **state)
{
	VIEW_ERROR(error);
	cleanup_with(view_done) struct view view = {};

	(void)state;
	make_layers();
	assert_int_equal(make_view(&view, "", "/kernel", "/link", &error), 0);
	assert_int_equal(artifact_resolve(&view, artifact_at(&view, "/kernel"), &error), 0);
	assert_false(view_all_resolved(&view));
	view_release_layers(&view);
	assert_true(view_all_resolved(&view));
	assert_null(view.image.stack);
	assert_int_equal(artifact_at(&view, "/kernel")->state, ARTIFACT_READY);
	assert_int_equal(artifact_at(&view, "/link")->state, ARTIFACT_MISSING);
}

static void test_attributes_are_the_layers_without_write_bits(void **state)
{
	static const struct {
		const char *options;
		mode_t mode; /* of the file in the layer */
		mode_t want;
		uid_t uid;
		gid_t gid;
	} rows[] = {
		/* The layer's, without the bits for writing. */
		{"", 0644, 0444, 11, 22},
		{"", 0777, 0555, 11, 22},
		{"", 0600, 0400, 11, 22},
		/* Forced. */
		{"uid=5,gid=6,mode=0755", 0600, 0555, 5, 6},
		{"mode=0", 0644, 0, 11, 22},
		{"uid=0", 0644, 0444, 0, 22},
		/* Mapped; what is in no range is nobody's; forced wins. */
		{"uidmap=0:1000:100,gidmap=0:2000:100", 0644, 0444, 1011, 2022},
		{"uidmap=0:1000:11", 0644, 0444, 65534, 22},
		{"uidmap=0:1000:100,uid=7", 0644, 0444, 7, 22},
	};

	(void)state;
	require_root();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		VIEW_ERROR(error);
		cleanup_with(view_done) struct view view = {};
		const struct timespec times[] = {{.tv_sec = 1}, {.tv_sec = 1000000}};
		struct stat st;

		make_file("B/d/kernel", "content");
		assert_return_code(chown("B/d/kernel", 11, 22), errno);
		assert_return_code(chmod("B/d/kernel", rows[i].mode), errno);
		assert_return_code(utimensat(AT_FDCWD, "B/d/kernel", times, 0), errno);
		assert_int_equal(make_view(&view, rows[i].options, "/d/kernel", NULL, &error), 0);
		same_int(rows[i].options,
			 artifact_resolve(&view, artifact_at(&view, "/d/kernel"), &error), 0);
		st = view_attributes(&view, node_at(&view, "d/kernel"));
		same_int(rows[i].options, st.st_mode, S_IFREG | rows[i].want);
		same_int(rows[i].options, st.st_uid, rows[i].uid);
		same_int(rows[i].options, st.st_gid, rows[i].gid);
		same_int(rows[i].options, st.st_size, strlen("content"));
		same_int(rows[i].options, st.st_mtim.tv_sec, 1000000);
		same_int(rows[i].options, st.st_ino, node_at(&view, "d/kernel"));
		/* Made up: 0555 and root's, whatever is forced or mapped. */
		st = view_attributes(&view, node_at(&view, "d"));
		same_int(rows[i].options, st.st_mode, S_IFDIR | 0555);
		same_int(rows[i].options, st.st_uid, 0);
		same_int(rows[i].options, st.st_gid, 0);
		same_int(rows[i].options, view_attributes(&view, VIEW_ROOT).st_nlink, 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_nodes_are_found_by_name_and_listed),
		scratch_test(test_each_artifact_has_its_roles),
		scratch_test(test_conflicting_and_unclean_paths_are_rejected),
		scratch_test(test_an_artifact_is_resolved_or_has_its_error),
		scratch_test(test_all_artifacts_are_resolved_except_an_unused_config),
		scratch_test(test_unresolved_artifacts_are_lost_with_the_layers),
		scratch_test(test_attributes_are_the_layers_without_write_bits),
	};

	return cmocka_run_group_tests_name("view", tests, NULL, NULL);
}
