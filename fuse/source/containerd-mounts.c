/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/source/containerd-mounts.h"

/* containerd's mounts as JSON: Go's mount.Mount, or the protobuf's types.Mount. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fuse/base/io.h"
#include "fuse/base/json.h"
#include "fuse/base/messages.h"

/*
 * The value of a key, in whatever case it is spelled, as Go's decoder takes it: the last one.
 * *seen* is set where there is one, be it null.
 */
static struct json_object *member(struct json_object *object, const char *name, bool *seen)
{
	struct json_object *found = NULL;

	json_object_object_foreach(object, key, value)
	{
		if (strcasecmp(key, name) != 0)
			continue;
		found = value;
		*seen = true;
	}
	return found;
}

/* A string member; absent and null are "". Returns: NULL when it is no json_text(). */
static const char *string_member(struct json_object *object, const char *name)
{
	bool seen;
	struct json_object *value = member(object, name, &seen);

	return value ? json_text(value) : "";
}

/*
 * One element of Options, which may hold several options, as mount(2) would take it. Of ro and rw
 * the last counts.
 */
static int take_option(struct overlay_options *overlay, const char *text, bool *read_only,
		       const char *name, struct view_error *error)
{
	cleanup_free char *copy = strdup(text);
	char *rest = copy;
	char *option;

	if (!copy)
		return view_fail(error, MSG_NO_MEMORY);
	while ((option = overlay_options_next(&rest))) {
		char *value = strchr(option, '=');

		if (strcmp(option, "ro") == 0 || strcmp(option, "rw") == 0)
			*read_only = option[1] == 'o';
		if (value)
			*value++ = '\0';
		/* What else overlayfs knows does not change what the committed layers hold. */
		if (overlay_options_set(overlay, option, value, name, error) < 0)
			return -ECANCELED;
	}
	return 0;
}

static int take_options(struct overlay_options *overlay, struct json_object *mount, bool *read_only,
			const char *name, struct view_error *error)
{
	bool seen;
	struct json_object *options = member(mount, "Options", &seen);

	if (!options)
		return 0;
	if (!json_object_is_type(options, json_type_array))
		return view_fail(error, MSG_MOUNTS_SHAPE, name, "'Options' is not an array");
	for (size_t i = 0; i < json_object_array_length(options); i++) {
		const char *option = json_text(json_object_array_get_idx(options, i));

		if (!option)
			return view_fail(error, MSG_MOUNTS_SHAPE, name,
					 "an element of 'Options' is not a string");
		if (take_option(overlay, option, read_only, name, error) < 0)
			return -ECANCELED;
	}
	return 0;
}

static int take_bind(struct overlay_options *overlay, const char *source, bool read_only,
		     const char *name, struct view_error *error)
{
	if (!*source)
		return view_fail(error, MSG_MOUNTS_SHAPE, name, "a bind without 'Source'");
	if (!read_only)
		return view_fail(error, MSG_BIND_WRITABLE, name, source);
	strings_clear(&overlay->lowers);
	overlay->has_data_layers = false;
	if (strings_take(&overlay->lowers, strdup(source)) < 0)
		return view_fail(error, MSG_NO_MEMORY);
	return 0;
}

static int take_mount(struct overlay_options *overlay, struct json_object *mount, const char *name,
		      struct view_error *error)
{
	const char *type, *source, *target;
	bool read_only = false;

	if (!json_object_is_type(mount, json_type_object))
		return view_fail(error, MSG_MOUNTS_SHAPE, name, "a mount is not an object");
	type = string_member(mount, "Type");
	source = string_member(mount, "Source");
	target = string_member(mount, "Target");
	if (!type || !source || !target)
		return view_fail(error, MSG_MOUNTS_SHAPE, name,
				 "'Type', 'Source' or 'Target' is not a string");
	if (strcmp(type, "overlay") != 0 && strcmp(type, "bind") != 0)
		return view_fail(error, MSG_MOUNT_TYPE, name, type);
	if (*target && strcmp(target, "/") != 0)
		return view_fail(error, MSG_MOUNT_TARGET, name, target);
	if (take_options(overlay, mount, &read_only, name, error) < 0)
		return -ECANCELED;
	return strcmp(type, "bind") == 0 ? take_bind(overlay, source, read_only, name, error) : 0;
}

/*
 * What holds the mounts: the text itself, or a member of its object. In a request of containerd's
 * shims that is the rootfs, beside which other mounts may stand.
 * Returns: 0, with *ret, NULL for null, or < 0 with *error*.
 */
static int find_mounts(struct json_object *whole, const char *name, struct json_object **ret,
		       struct view_error *error)
{
	static const char keys[][8] = {"Rootfs", "Mounts"};
	bool seen = false;

	*ret = whole;
	if (!json_object_is_type(whole, json_type_object))
		return 0;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		*ret = member(whole, keys[i], &seen);
		if (*ret)
			return 0;
	}
	if (!seen)
		return view_fail(error, MSG_MOUNTS_SHAPE, name,
				 "an object without 'mounts' and without 'rootfs'");
	return 0;
}

int mounts_parse(const char *text, size_t n, const char *name, struct overlay_options *ret,
		 struct view_error *error)
{
	cleanup_with(json_done) struct json_object *whole = NULL;
	struct json_object *mounts;

	if (json_parse_input(text, n, name, CODE_EUSAGE, &whole, error) < 0)
		return -ECANCELED;
	if (find_mounts(whole, name, &mounts, error) < 0)
		return -ECANCELED;
	/* A nil slice of Go's is null. */
	if (!mounts)
		return view_fail(error, MSG_NO_LAYERS, name);
	if (!json_object_is_type(mounts, json_type_array))
		return view_fail(error, MSG_MOUNTS_SHAPE, name, "the mounts are not an array");
	if (json_object_array_length(mounts) == 0)
		return view_fail(error, MSG_NO_LAYERS, name);
	if (json_object_array_length(mounts) > 1)
		return view_fail(error, MSG_MANY_MOUNTS, name, json_object_array_length(mounts));
	return take_mount(ret, json_object_array_get_idx(mounts, 0), name, error);
}

int mounts_read(const char *file, const char *name, struct overlay_options *ret,
		struct view_error *error)
{
	cleanup_close int opened = -EBADF;
	cleanup_free char *text = NULL;
	int fd = STDIN_FILENO;
	size_t n;
	int r;

	if (strcmp(file, "-") != 0) {
		fd = opened = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			return view_fail(error, MSG_JSON_READ, name, strerror(errno));
	}
	r = read_all(fd, MOUNTS_JSON_SIZE_MAX, &text, &n);
	if (r == -EFBIG)
		return view_fail(error, MSG_JSON_SIZE, name, (size_t)MOUNTS_JSON_SIZE_MAX);
	if (r < 0)
		return view_fail(error, MSG_JSON_READ, name, strerror(-r));
	return mounts_parse(text, n, name, ret, error);
}
