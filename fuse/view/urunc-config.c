/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/view/urunc-config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/base64.h"
#include "fuse/base/io.h"
#include "fuse/base/json.h"
#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/base/text.h"

#define PREFIX "com.urunc.unikernel."

enum key { KEY_TYPE, KEY_HYPERVISOR, KEY_BINARY, KEY_INITRD, KEYS_USED };

/* Those that a boot needs come first; the others are only decoded: urunc fails on them too. */
static const char keys[][40] = {
	[KEY_TYPE] = PREFIX "unikernelType",
	[KEY_HYPERVISOR] = PREFIX "hypervisor",
	[KEY_BINARY] = PREFIX "binary",
	[KEY_INITRD] = PREFIX "initrd",
	PREFIX "unikernelVersion",
	PREFIX "cmdline",
	PREFIX "block",
	PREFIX "blkMntPoint",
	PREFIX "useDMBlock",
	PREFIX "mountRootfs",
};

enum { KEYS = sizeof(keys) / sizeof(*keys) };

const char *urunc_path_fault(const char *path)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789._/-";
	const char *part = path + (*path == '/');

	if (strlen(path) > ARTIFACT_PATH_MAX)
		return "the path is longer than 4096 bytes";
	if (path[strspn(path, allowed)])
		return "the path may hold only A-Z a-z 0-9 . _ / -";
	if (*path == '-' || strncmp(path, "..", 2) == 0)
		return "the path must not begin with '-' or '..'";
	if (!*part)
		return "the path names no file";
	while (*part) {
		size_t n = strcspn(part, "/");

		if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && memcmp(part, "..", 2) == 0))
			return "the path is not clean (no '.', '..' or '//' in it)";
		part += n;
		if (*part && !*++part)
			return "the path must not end in '/'";
	}
	return NULL;
}

/*
 * One value as urunc decodes it; with DECODE_AUTO what is not base64 of UTF-8 is taken as it is.
 * Returns: an owned string, or NULL with *error*.
 */
static char *decode_value(const char *key, const char *value, enum decode_rule decode,
			  struct view_error *error)
{
	bool marked = decode == DECODE_AUTO && strncmp(value, "b64:", 4) == 0;
	cleanup_free char *bytes = NULL;
	size_t n = 0;
	int r = base64_decode(marked ? value + 4 : value, &bytes, &n);

	if (decode == DECODE_AUTO && !marked &&
	    (r == -EINVAL || (r == 0 && !utf8_is_valid(bytes, n)))) {
		free(TAKE_PTR(bytes));
		bytes = strdup(value);
		n = bytes ? strlen(bytes) : 0;
		r = bytes ? 0 : -ENOMEM;
	}
	if (r == -ENOMEM) {
		view_fail(error, MSG_NO_MEMORY);
		return NULL;
	}
	if (r < 0) {
		view_fail(error, MSG_CONFIG_VALUE, URUNC_JSON, key,
			  decode == DECODE_STRICT
				  ? "standard base64 (for plain text give -o decode=auto)"
				  : "standard base64");
		return NULL;
	}
	if (memchr(bytes, '\0', n)) {
		view_fail(error, MSG_CONFIG_VALUE, URUNC_JSON, key, "without a NUL byte");
		return NULL;
	}
	return TAKE_PTR(bytes);
}

static void clear_values(char *(*values)[KEYS])
{
	for (int i = 0; i < KEYS; i++)
		free((*values)[i]);
}

typedef char *values_t[KEYS];
DEFINE_CLEANUP(values_t, clear_values)

/* Keys match in any case and the last one wins, as in Go's decoder; null is as if absent. */
static int pick_values(struct json_object *object, struct json_object *picked[static KEYS],
		       struct view_error *error)
{
	const size_t prefix = strlen(PREFIX);

	json_object_object_foreach(object, key, value)
	{
		if (strncasecmp(key, PREFIX, prefix) != 0)
			continue;
		for (int i = 0; i < KEYS; i++) {
			if (strcasecmp(key + prefix, keys[i] + prefix) != 0 || !value)
				continue;
			if (!json_object_is_type(value, json_type_string))
				return view_fail(error, MSG_CONFIG_VALUE, URUNC_JSON, keys[i],
						 "a string");
			picked[i] = value;
		}
	}
	return 0;
}

/* Decoded is only what won, as in urunc. */
static int decode_values(struct json_object *object, enum decode_rule decode, values_t values,
			 struct view_error *error)
{
	struct json_object *picked[KEYS] = {};

	if (pick_values(object, picked, error) < 0)
		return -ECANCELED;
	for (int i = 0; i < KEYS; i++) {
		const char *text = json_text(picked[i]);

		if (!picked[i])
			continue;
		if (!text)
			return view_fail(error, MSG_CONFIG_VALUE, URUNC_JSON, keys[i],
					 "without a NUL byte");
		values[i] = decode_value(keys[i], text, decode, error);
		if (!values[i])
			return -ECANCELED;
	}
	return 0;
}

int urunc_config_parse(const char *text, size_t n, enum decode_rule decode,
		       struct urunc_config *ret, struct view_error *error)
{
	cleanup_with(json_done) struct json_object *object = NULL;
	cleanup_with(clear_values) values_t values = {};

	if (json_parse_input(text, n, URUNC_JSON, CODE_ECONFIG, &object, error) < 0)
		return -ECANCELED;
	if (!json_object_is_type(object, json_type_object))
		return view_fail(error, MSG_CONFIG_SHAPE, URUNC_JSON, "not an object");
	if (decode_values(object, decode, values, error) < 0)
		return -ECANCELED;
	for (int i = 0; i <= KEY_BINARY; i++)
		if (!values[i] || !*values[i])
			return view_fail(error, MSG_CONFIG_NEEDS, URUNC_JSON, keys[i]);
	ret->binary = TAKE_PTR(values[KEY_BINARY]);
	if (values[KEY_INITRD] && *values[KEY_INITRD])
		ret->initrd = TAKE_PTR(values[KEY_INITRD]);
	return 0;
}

/* Returns: > 0: a whole configuration; 0: not; < 0: *error*. Annotations are never decoded. */
static int take_annotations(struct json_object *annotations, struct urunc_config *ret,
			    struct view_error *error)
{
	const char *values[KEYS_USED];

	for (int i = 0; i < KEYS_USED; i++) {
		struct json_object *value = json_object_object_get(annotations, keys[i]);

		values[i] = json_text(value);
		if (!values[i] && json_object_is_type(value, json_type_string))
			return view_fail(error, MSG_CONFIG_VALUE, "annotations", keys[i],
					 "without a NUL byte");
		if (i <= KEY_BINARY && (!values[i] || !*values[i]))
			return 0;
	}
	ret->binary = strdup(values[KEY_BINARY]);
	if (values[KEY_INITRD] && *values[KEY_INITRD])
		ret->initrd = strdup(values[KEY_INITRD]);
	if (!ret->binary || (values[KEY_INITRD] && *values[KEY_INITRD] && !ret->initrd))
		return view_fail(error, MSG_NO_MEMORY);
	return 1;
}

/* What an errno of finding or reading urunc.json means: the layers' fault is not the file's. */
static int fail_urunc_json(const struct image *image, int r, struct view_error *error)
{
	if (image_met_mark(image))
		return view_fail(error, MSG_ARTIFACT_MARK, NAME_CONFIG, URUNC_JSON);
	switch (r) {
	case IMAGE_MISS: return image_fail_miss(image, URUNC_JSON, error);
	case -ENOTDIR:
	case -ELOOP:
	case -ENAMETOOLONG: return view_fail(error, MSG_CONFIG_READ, URUNC_JSON, strerror(-r));
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE: return view_fail(error, MSG_SYSTEM, URUNC_JSON, strerror(-r));
	default: return view_fail(error, MSG_ARTIFACT_LAYER, NAME_CONFIG, URUNC_JSON, strerror(-r));
	}
}

/* Finds and reads it. Returns: 0, with *text* owned by the caller; or -errno, -EFBIG: too large. */
static int read_urunc_json(const struct image *image, struct image_file *config, char **text,
			   size_t *n)
{
	struct retry retry = image->retry;
	int r;

	do {
		image_file_done(config);
		*config = IMAGE_FILE_INIT;
		r = image_find(image, URUNC_JSON, config);
		if (r == 0 && S_ISREG(config->st.st_mode))
			r = read_all(config->fd, URUNC_JSON_SIZE_MAX, text, n);
	} while (r < 0 && !image_met_mark(image) && retry_wait(&retry, r));
	return r;
}

/* Returns: > 0: read; 0: there is none; < 0: *error*. */
static int take_urunc_json(const struct image *image, enum decode_rule decode,
			   struct urunc_config *ret, struct image_file *ret_config,
			   struct view_error *error)
{
	cleanup_with(image_file_done) struct image_file config = IMAGE_FILE_INIT;
	cleanup_free char *text = NULL;
	size_t n = 0;
	int r = read_urunc_json(image, &config, &text, &n);

	if (r == -ENOENT)
		return 0;
	if (r == -EFBIG)
		return view_fail(error, MSG_CONFIG_SIZE, URUNC_JSON, (size_t)URUNC_JSON_SIZE_MAX);
	if (r < 0)
		return fail_urunc_json(image, r, error);
	if (!S_ISREG(config.st.st_mode))
		return view_fail(error, MSG_CONFIG_TYPE, URUNC_JSON);
	if (urunc_config_parse(text, n, decode, ret, error) < 0)
		return -ECANCELED;
	*ret_config = TAKE(config, IMAGE_FILE_INIT);
	return 1;
}

/*
 * binary= was given: urunc.json could only add an initrd, and must not stand in the way. A stored
 * image that has no answer for it is another matter: all answers are wanted.
 */
static int take_optional_initrd(const struct image *image, enum decode_rule decode,
				struct urunc_config *ret, struct image_file *ret_config,
				struct view_error *error)
{
	VIEW_ERROR(fault);
	int r = take_urunc_json(image, decode, ret, ret_config, &fault);

	if (r >= 0)
		return 0;
	if (r == IMAGE_MISS) {
		view_fail(error, fault.code, "%s", fault.message);
		return r;
	}
	log_warn("%s; booting binary= without an initrd", fault.message);
	return 0;
}

static int replace(char **ret, const char *given, struct view_error *error)
{
	if (!given)
		return 0;
	free(*ret);
	*ret = strdup(given);
	return *ret ? 0 : view_fail(error, MSG_NO_MEMORY);
}

int urunc_config_read(const struct options *options, struct json_object *annotations,
		      const struct image *image, struct urunc_config *ret,
		      struct image_file *ret_config, struct view_error *error)
{
	int r = take_annotations(annotations, ret, error);

	if (r == 0 && !options->binary) {
		r = take_urunc_json(image, options->decode, ret, ret_config, error);
		if (r == 0)
			return view_fail(error, MSG_NOT_A_UNIKERNEL, image_in_words(image).text);
	} else if (r == 0 && !options->initrd) {
		r = take_optional_initrd(image, options->decode, ret, ret_config, error);
	}
	if (r < 0)
		return r;
	if (replace(&ret->binary, options->binary, error) < 0)
		return -ECANCELED;
	return replace(&ret->initrd, options->initrd, error);
}

void urunc_config_done(struct urunc_config *boot)
{
	free(TAKE_PTR(boot->binary));
	free(TAKE_PTR(boot->initrd));
}
