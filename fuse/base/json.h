/* SPDX-License-Identifier: Apache-2.0 */
/* JSON from strangers: bounded in size and depth, whole or not at all. json-c does the parsing. */
#pragma once

#include <json-c/json.h>
#include <stddef.h>

#include "fuse/base/error.h"
#include "layerindex/cleanup.h"

enum {
	JSON_DEPTH_MAX = 64,
	JSON_VALUES_MAX = 20000, /* of up to 800 bytes of memory each */
};

/* The position and the reason of a syntax error. */
struct json_fault {
	const char *reason; /* static */
	size_t at;	    /* byte */
};

static inline void json_done(struct json_object **object)
{
	json_object_put(*object);
	*object = NULL;
}
DEFINE_CLEANUP(struct json_object *, json_done)

/*
 * Parses *n* bytes, which a NUL must follow, strictly: one value and white space around it, and no
 * more than JSON_VALUES_MAX values in all.
 * Returns: 0, with an owned object in *ret (json_object_put()); -EINVAL with *fault*; -ENOMEM.
 */
int json_parse(const char *text, size_t n, struct json_object **ret, struct json_fault *fault);

/*
 * The same for an input that a person knows as *name*. Returns: 0, or < 0 with *error*, whose code
 * is *code* where the text is at fault.
 */
int json_parse_input(const char *text, size_t n, const char *name, enum view_code code,
		     struct json_object **ret, struct view_error *error);

/* Takes ownership of *value*; NULL is that there was no memory for it. Returns: 0 or -ENOMEM. */
int json_add(struct json_object *object, const char *key, struct json_object *value);

/* The same for the next element of an array. */
int json_append(struct json_object *array, struct json_object *value);

/*
 * A name of any bytes, as JSON can hold it (name_printable()); owned, or NULL without
 * memory.
 */
struct json_object *json_printable(const char *text);

/* On one line, as others parse it; an owned text, or NULL without memory. */
char *json_line(struct json_object *object);

/* Prints it to stdout, as a person can read it too. */
void json_print(struct json_object *object);

/*
 * The text of a string, or NULL: it is of another type, or one NUL in it, written as an escape,
 * would hide the rest; borrowed.
 */
const char *json_text(struct json_object *value);

/* json_text() of the value at *key* of an object, or NULL; borrowed. A key matches exactly. */
const char *json_string(struct json_object *object, const char *key);

/* The value of that type at *key*, borrowed; NULL: there is none, or *object* is no object. */
struct json_object *json_member(struct json_object *object, const char *key, enum json_type type);
