/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/json.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/messages.h"
#include "fuse/base/text.h"

enum { VALUE_SIZE = 1024 }; /* what a value of a few bytes takes of memory, and more */

/*
 * Goes over a string from its opening quote. Returns: its closing quote, its first control
 * character, or the end of the text; *ret_nul tells whether a NUL is written in it.
 */
static const char *skip_string(const char *text, bool *ret_nul)
{
	*ret_nul = false;
	for (text++; *text != '"' && (unsigned char)*text >= 0x20; text++) {
		if (*text != '\\' || !text[1])
			continue;
		text++;
		*ret_nul |= strncmp(text, "u0000", 5) == 0;
	}
	return text;
}

/*
 * What json-c would let pass or mistake, or take too much memory for: strict as it is, it accepts
 * single quotes around keys, NaN and Infinity, and control characters in strings; a NUL ends its
 * keys; and an empty object of two bytes takes it 800.
 * Returns: where the first of them is, with *ret_reason, or NULL.
 */
static const char *find_unfit(const char *text, size_t *ret_values, const char **ret_reason)
{
	bool nul;

	*ret_values = 0;
	*ret_reason = "unexpected character";
	for (; *text; text++) {
		switch (*text) {
		case '\'':
		case 'N':
		case 'I': return text;
		case '{':
		case '[':
		case ',':
			if (++*ret_values <= JSON_VALUES_MAX)
				continue;
			*ret_reason = "too many values";
			return text;
		case '"': break;
		default: continue;
		}
		text = skip_string(text, &nul);
		if (*text != '"')
			return *text ? text : NULL;
		if (nul && text[1 + strspn(text + 1, " \t\r\n")] == ':') {
			*ret_reason = "a NUL in a key";
			return text;
		}
	}
	return NULL;
}

/*
 * json-c does not live through a lack of memory, or loses values without a word: whether there is
 * as much as it can need.
 */
static bool has_memory(size_t values, size_t n)
{
	/* Volatile: the compiler would believe in it, and leave it out. */
	void *volatile memory = malloc((values + 1) * VALUE_SIZE + 4 * n);
	bool there = memory != NULL;

	free(memory);
	return there;
}

/* Has json-c parse *n* bytes and the NUL behind them. Returns: as json_parse(). */
static int parse(const char *text, size_t n, int flags, struct json_object **ret,
		 struct json_fault *fault)
{
	struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH_MAX);
	struct json_object *object;
	int r = 0;

	if (!tokener)
		return -ENOMEM;
	json_tokener_set_flags(tokener, flags);
	/* With its NUL: a bare number at the end is complete only then. */
	object = json_tokener_parse_ex(tokener, text, (int)n + 1);
	if (json_tokener_get_error(tokener) == json_tokener_success) {
		/* It has no other word for it. */
		if (!object && text[strspn(text, " \t\r\n")] != 'n')
			r = -ENOMEM;
		else
			*ret = object;
	} else {
		enum json_tokener_error error = json_tokener_get_error(tokener);

		*fault = (struct json_fault){error == json_tokener_continue
						     ? "unexpected end"
						     : json_tokener_error_desc(error),
					     json_tokener_get_parse_end(tokener)};
		json_object_put(object);
		r = -EINVAL;
	}
	json_tokener_free(tokener);
	return r;
}

/*
 * json-c 0.18 takes every byte beyond ASCII for a control character when it is strict. It gets to
 * see none of them then. Returns: as json_parse().
 */
static int check_as_ascii(const char *text, size_t n, struct json_fault *fault)
{
	cleanup_free char *ascii = malloc(n + 1);
	struct json_object *object = NULL;
	int r;

	if (!ascii)
		return -ENOMEM;
	for (size_t i = 0; i <= n; i++)
		ascii[i] = (char)(text[i] & 0x80 ? '?' : text[i]);
	r = parse(ascii, n, JSON_TOKENER_STRICT, &object, fault);
	json_object_put(object);
	return r;
}

static bool is_ascii(const char *text)
{
	while (*text && !(*text & 0x80))
		text++;
	return *text == '\0';
}

int json_parse(const char *text, size_t n, struct json_object **ret, struct json_fault *fault)
{
	const char *nul = memchr(text, '\0', n);
	const char *unfit, *reason;
	size_t values;
	int r;

	/* json-c takes a NUL for the end. */
	if (nul || n > INT_MAX - 1) {
		*fault = (struct json_fault){nul ? "a NUL byte" : "too long",
					     nul ? (size_t)(nul - text) : 0};
		return -EINVAL;
	}
	unfit = find_unfit(text, &values, &reason);
	if (unfit) {
		*fault = (struct json_fault){reason, (size_t)(unfit - text)};
		return -EINVAL;
	}
	if (!has_memory(values, n))
		return -ENOMEM;
	if (is_ascii(text))
		return parse(text, n, JSON_TOKENER_STRICT, ret, fault);
	r = check_as_ascii(text, n, fault);
	return r < 0 ? r : parse(text, n, 0, ret, fault);
}

int json_parse_input(const char *text, size_t n, const char *name, enum view_code code,
		     struct json_object **ret, struct view_error *error)
{
	struct json_fault fault;
	int r = json_parse(text, n, ret, &fault);

	if (r == -ENOMEM)
		return view_fail(error, MSG_NO_MEMORY);
	return r < 0 ? view_fail(error, code, MSG_NOT_JSON, name, fault.reason, fault.at) : 0;
}

int json_add(struct json_object *object, const char *key, struct json_object *value)
{
	if (value && json_object_object_add(object, key, value) == 0)
		return 0;
	json_object_put(value);
	return -ENOMEM;
}

int json_append(struct json_object *array, struct json_object *value)
{
	if (value && json_object_array_add(array, value) == 0)
		return 0;
	json_object_put(value);
	return -ENOMEM;
}

struct json_object *json_printable(const char *text)
{
	cleanup_free char *shown = name_printable(text);

	return shown ? json_object_new_string(shown) : NULL;
}

char *json_line(struct json_object *object)
{
	const char *line = json_object_to_json_string_ext(
		object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

	return line ? strdup(line) : NULL;
}

void json_print(struct json_object *object)
{
	puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
							    JSON_C_TO_STRING_NOSLASHESCAPE |
							    JSON_C_TO_STRING_SPACED));
}

const char *json_text(struct json_object *value)
{
	const char *text;

	if (!json_object_is_type(value, json_type_string))
		return NULL;
	text = json_object_get_string(value);
	return strlen(text) == (size_t)json_object_get_string_len(value) ? text : NULL;
}

struct json_object *json_member(struct json_object *object, const char *key, enum json_type type)
{
	struct json_object *value;

	if (!json_object_is_type(object, json_type_object) ||
	    !json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, type))
		return NULL;
	return value;
}

const char *json_string(struct json_object *object, const char *key)
{
	return json_text(json_member(object, key, json_type_string));
}
