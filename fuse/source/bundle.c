/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/source/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/io.h"
#include "fuse/base/json.h"
#include "fuse/base/messages.h"

/* root.path of the runtime specification. */
static int take_root(struct json_object *config, const char *name, char **ret,
		     struct view_error *error)
{
	struct json_object *root = NULL;
	const char *path;

	json_object_object_get_ex(config, "root", &root);
	path = json_string(root, "path");
	if (!path || !*path)
		return view_fail(error, MSG_CONFIG_NEEDS, name, "root.path");
	*ret = strdup(path);
	return *ret ? 0 : view_fail(error, MSG_NO_MEMORY);
}

/* By the specification they are strings; those that are not are no annotations of urunc's. */
static int take_annotations(struct json_object *config, const char *name, struct json_object **ret,
			    struct view_error *error)
{
	struct json_object *annotations = NULL;

	if (!json_object_object_get_ex(config, "annotations", &annotations) || !annotations)
		return 0;
	if (!json_object_is_type(annotations, json_type_object))
		return view_fail(error, MSG_CONFIG_SHAPE, name, "'annotations' is not an object");
	*ret = json_object_get(annotations);
	return 0;
}

int bundle_config_parse(const char *text, size_t n, const char *name, struct bundle_config *ret,
			struct view_error *error)
{
	cleanup_with(bundle_config_done) struct bundle_config config = {};
	cleanup_with(json_done) struct json_object *object = NULL;

	if (json_parse_input(text, n, name, CODE_ECONFIG, &object, error) < 0)
		return -ECANCELED;
	if (!json_object_is_type(object, json_type_object))
		return view_fail(error, MSG_CONFIG_SHAPE, name, "not an object");
	if (take_root(object, name, &config.rootfs, error) < 0 ||
	    take_annotations(object, name, &config.annotations, error) < 0)
		return -ECANCELED;
	*ret = TAKE(config, ((struct bundle_config){}));
	return 0;
}

void bundle_config_done(struct bundle_config *config)
{
	free(TAKE_PTR(config->rootfs));
	json_object_put(TAKE_PTR(config->annotations));
}

int bundle_config_read(const char *directory, struct bundle_config *ret, struct view_error *error)
{
	cleanup_close int bundle = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_close int fd = -EBADF;
	cleanup_free char *name = NULL, *text = NULL;
	size_t n;
	int r;

	if (asprintf(&name, "%s/config.json", directory) < 0)
		return view_fail(error, MSG_NO_MEMORY);
	if (bundle < 0)
		return view_fail(error, MSG_CONFIG_READ, directory, strerror(errno));
	fd = openat(bundle, "config.json", O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return view_fail(error, MSG_CONFIG_READ, name, strerror(errno));
	r = read_all(fd, CONFIG_JSON_SIZE_MAX, &text, &n);
	if (r == -EFBIG)
		return view_fail(error, MSG_CONFIG_SIZE, name, (size_t)CONFIG_JSON_SIZE_MAX);
	if (r < 0)
		return view_fail(error, MSG_CONFIG_READ, name, strerror(-r));
	return bundle_config_parse(text, n, name, ret, error);
}

/* A bind of one directory shows that directory; a filesystem of its own is no stack of layers. */
static int take_rootfs(const char *directory, const char *rootfs, struct overlay_options *ret,
		       struct mounted_overlay *ret_overlay, struct view_error *error)
{
	cleanup_close int fd = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_free char *line = NULL;
	struct mount_entry mount;
	int r;

	if (fd < 0)
		return view_fail(error, MSG_BUNDLE_NOT_MOUNTED, directory, rootfs);
	r = mounted_overlay_read(&fd, rootfs, ret, ret_overlay, &mount, &line, error);
	if (r != 0)
		return r < 0 ? r : 0;
	if (!line)
		return view_fail(error, MSG_BUNDLE_NOT_MOUNTED, directory, rootfs);
	if (strcmp(mount.root, "/") == 0)
		return view_fail(error, MSG_BUNDLE_WHOLE_FS, directory, rootfs, mount.type);
	if (!mount.read_only && !mount.filesystem_read_only)
		return view_fail(error, MSG_BIND_WRITABLE, directory, rootfs);
	return directory_read(rootfs, ret, error);
}

int bundle_read(const char *directory, struct overlay_options *ret,
		struct mounted_overlay *ret_overlay, struct json_object **ret_annotations,
		struct view_error *error)
{
	cleanup_with(bundle_config_done) struct bundle_config config = {};
	cleanup_free char *rootfs = NULL;
	bool absolute;

	/* The second is for the analyzers, which do not know that view_fail() is negative. */
	if (bundle_config_read(directory, &config, error) < 0 || !config.rootfs)
		return -ECANCELED;
	absolute = *config.rootfs == '/';
	if (asprintf(&rootfs, "%s%s%s", absolute ? "" : directory, absolute ? "" : "/",
		     config.rootfs) < 0)
		return view_fail(error, MSG_NO_MEMORY);
	*ret_annotations = TAKE_PTR(config.annotations);
	return take_rootfs(directory, rootfs, ret, ret_overlay, error) < 0 ? -ECANCELED : 0;
}
