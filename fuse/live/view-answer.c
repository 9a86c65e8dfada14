/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/live/view-answer.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "fuse/base/json.h"
#include "fuse/base/text.h"
#include "fuse/process/sandbox.h"

static struct json_object *show(struct json_object *value);

/* A string as it can be shown: as it is, where a view wrote it. Owned, or NULL without memory. */
static struct json_object *show_string(struct json_object *value)
{
	cleanup_free char *name = strdup(json_object_get_string(value));

	if (!name)
		return NULL;
	text_decode_octal(name);
	return json_printable(name);
}

static struct json_object *show_object(struct json_object *value)
{
	cleanup_with(json_done) struct json_object *copy = json_object_new_object();

	json_object_object_foreach(value, key, member)
	{
		cleanup_free char *shown = text_printable(key);

		if (!copy || !shown)
			return NULL;
		if (!member && json_object_object_add(copy, shown, NULL) < 0)
			return NULL;
		if (member && json_add(copy, shown, show(member)) < 0)
			return NULL;
	}
	return TAKE_PTR(copy);
}

static struct json_object *show_array(struct json_object *value)
{
	cleanup_with(json_done) struct json_object *copy = json_object_new_array();

	for (size_t i = 0; copy && i < json_object_array_length(value); i++) {
		struct json_object *item = json_object_array_get_idx(value, i);

		if (!item && json_object_array_add(copy, NULL) < 0)
			return NULL;
		if (item && json_append(copy, show(item)) < 0)
			return NULL;
	}
	return TAKE_PTR(copy);
}

/* A copy of *value* whose strings can be shown; owned, or NULL without memory. */
static struct json_object *show(struct json_object *value)
{
	switch (json_object_get_type(value)) {
	case json_type_string: return show_string(value);
	case json_type_object: return show_object(value);
	case json_type_array: return show_array(value);
	default: return json_object_get(value);
	}
}

/* Whether *key*, where it is there, is of its type. */
static bool has_type(struct json_object *object, const char *key, json_type type)
{
	struct json_object *value;

	return !json_object_object_get_ex(object, key, &value) || json_object_is_type(value, type);
}

static bool are_artifacts(struct json_object *array)
{
	for (size_t i = 0; array && i < json_object_array_length(array); i++)
		if (!json_string(json_object_array_get_idx(array, i), "path"))
			return false;
	return true;
}

static bool are_strings(struct json_object *array)
{
	for (size_t i = 0; array && i < json_object_array_length(array); i++)
		if (!json_text(json_object_array_get_idx(array, i)))
			return false;
	return true;
}

/* Where it is mounted: a path, or null if it is a detached mount. */
static bool has_place(struct json_object *object)
{
	struct json_object *mountpoint;

	if (json_string(object, "mountpoint"))
		return true;
	return json_object_object_get_ex(object, "mountpoint", &mountpoint) && !mountpoint &&
	       json_object_get_boolean(json_object_object_get(object, "detached"));
}

static bool is_ready_line(struct json_object *object)
{
	static const struct {
		const char *key;
		json_type type;
	} known[] = {
		{"ready", json_type_boolean},	 {"id", json_type_string},
		{"detached", json_type_boolean}, {"passthrough", json_type_boolean},
		{"image", json_type_object},	 {"connection", json_type_int},
		{"artifacts", json_type_array},	 {"missing", json_type_array},
		{"sandbox", json_type_array},	 {"pid", json_type_int},
		{"survives", json_type_boolean}, {"standby", json_type_int},
		{"generation", json_type_int},
	};

	if (!json_object_is_type(object, json_type_object))
		return false;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!has_type(object, known[i].key, known[i].type))
			return false;
	return json_object_get_boolean(json_object_object_get(object, "ready")) &&
	       has_place(object) && are_artifacts(json_object_object_get(object, "artifacts")) &&
	       are_strings(json_object_object_get(object, "missing")) &&
	       are_strings(json_object_object_get(object, "sandbox"));
}

/* Those that have a name here. */
static unsigned parse_sandbox(struct json_object *names)
{
	unsigned measures = 0;

	for (size_t i = 0; names && i < json_object_array_length(names); i++)
		for (int j = 0; j < SANDBOX_COUNT; j++)
			if (strcmp(json_text(json_object_array_get_idx(names, i)),
				   sandbox_names[j]) == 0)
				measures |= 1U << j;
	return measures;
}

static void copy_string(struct json_object *object, const char *key, char *ret, size_t size)
{
	const char *text = json_string(object, key);

	if (text && strlen(text) < size)
		memcpy(ret, text, strlen(text) + 1);
}

/* A number of at least 1, or 0. */
static int positive_number(struct json_object *object, const char *key)
{
	int64_t number = json_object_get_int64(json_object_object_get(object, key));

	return number > 0 && number <= INT_MAX ? (int)number : 0;
}

/* Takes what is not of the ready line out of it. */
static void take_facts(struct view_answer *answer)
{
	static const char *const keys[] = {"sandbox", "version",    "pid", "fingerprint",
					   "standby", "generation", "cut"};
	struct json_object *ready = answer->ready;

	copy_string(ready, "version", answer->version, sizeof(answer->version));
	copy_string(ready, "fingerprint", answer->fingerprint, sizeof(answer->fingerprint));
	answer->pid = positive_number(ready, "pid");
	answer->standby = positive_number(ready, "standby");
	answer->generation = (unsigned)positive_number(ready, "generation");
	answer->sandboxed = parse_sandbox(json_object_object_get(ready, "sandbox"));
	answer->cut = json_object_get_boolean(json_object_object_get(ready, "cut"));
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		json_object_object_del(ready, keys[i]);
}

int view_answer_parse(const char *text, size_t n, struct view_answer *ret)
{
	cleanup_with(json_done) struct json_object *object = NULL;
	struct view_answer answer = {};
	struct json_fault fault;
	int r = json_parse(text, n, &object, &fault);

	if (r < 0)
		return r;
	if (!is_ready_line(object))
		return -EINVAL;
	answer.ready = show(object);
	if (!answer.ready)
		return -ENOMEM;
	take_facts(&answer);
	*ret = answer;
	return 0;
}

void view_answer_done(struct view_answer *answer)
{
	json_done(&answer->ready);
}
