/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source-layers
 *
 * Says which layers a command line means, without opening them. Requests come on stdin: the words
 * after "viewfsctl resolve", each ended by a NUL, and an empty word after the last. Each is
 * answered by one line of JSON: {"layers":["2f61"]}, whose paths are hex, or {"error":"EUSAGE",
 * "message":"..."}.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/json.h"
#include "fuse/cli/arguments.h"
#include "fuse/serve/ready-line.h"
#include "fuse/source/source.h"

static int read_word(struct strings *words)
{
	cleanup_free char *word = NULL;
	size_t capacity = 0;

	if (getdelim(&word, &capacity, '\0', stdin) <= 0)
		return -1;
	return strings_take(words, TAKE_PTR(word));
}

/* Up to the empty word, which becomes argv's NULL. Returns: whether there was one more. */
static bool read_request(struct strings *words)
{
	if (strings_take(words, strdup("source-layers")) < 0)
		return false;
	do
		if (read_word(words) < 0)
			return false;
	while (*words->items[words->count - 1]);
	words->count--;
	free(words->items[words->count]);
	words->items[words->count] = NULL;
	return true;
}

static struct json_object *to_hex(const char *path)
{
	cleanup_free char *hex = calloc(2, strlen(path) + 1);

	for (size_t i = 0; hex && path[i]; i++)
		sprintf(hex + 2 * i, "%02x", (unsigned char)path[i]);
	return json_object_new_string(hex ? hex : "");
}

static void answer(int argc, char **argv)
{
	cleanup_with(json_done) struct json_object *object = json_object_new_object();
	cleanup_with(arguments_done) struct arguments arguments = ARGUMENTS_INIT;
	cleanup_with(source_done) struct source source = SOURCE_INIT;
	VIEW_ERROR(error);

	if (arguments_parse(&arguments, argc, argv, FOR_RESOLVE, &error) == 0 &&
	    source_find(&arguments.from, &arguments.options.overlay, arguments.options.basedir,
			&source, &error) == 0) {
		struct json_object *layers = json_object_new_array();

		for (size_t i = 0; i < source.layers.count; i++)
			json_object_array_add(layers, to_hex(source.layers.items[i]));
		json_object_object_add(object, "layers", layers);
	} else {
		const char *code = view_code_name(error.code);

		json_object_object_add(object, "error", json_object_new_string(code));
		json_object_object_add(object, "message", json_object_new_string(error.message));
	}
	puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
	fflush(stdout);
}

int main(void)
{
	for (;;) {
		cleanup_with(strings_clear) struct strings words = {};

		if (!read_request(&words))
			return 0;
		answer((int)words.count, words.items);
	}
}
