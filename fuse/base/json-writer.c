/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/json-writer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/text.h"

/* Makes room for *n* bytes and a NUL. */
static bool reserve(struct json_writer *writer, size_t n)
{
	size_t capacity = writer->capacity ? writer->capacity : 512;
	char *text;

	while (capacity - writer->length <= n)
		capacity *= 2;
	if (writer->no_memory || capacity == writer->capacity)
		return !writer->no_memory;
	text = realloc(writer->text, capacity);
	writer->no_memory = !text;
	if (!text)
		return false;
	writer->text = text;
	writer->capacity = capacity;
	return true;
}

void json_writer_print(struct json_writer *writer, const char *format, ...)
{
	va_list args;
	int n = 0;

	/* The first time it tells how much room it takes, where there is too little. */
	while (n >= 0 && reserve(writer, (size_t)n)) {
		size_t room = writer->capacity - writer->length;

		va_start(args, format);
		n = vsnprintf(writer->text + writer->length, room, format, args);
		va_end(args);
		if (n >= 0 && (size_t)n < room) {
			writer->length += (size_t)n;
			return;
		}
	}
	writer->no_memory = true;
}

bool json_writer_name(struct json_writer *writer, const char *name, size_t max)
{
	static const char ellipsis[] = "\u2026";
	cleanup_free char *shown = name_printable(name);
	size_t length = shown ? strlen(shown) : 0;
	bool whole = length <= max;
	size_t most = 2 * (whole ? length : max) + sizeof(ellipsis) + 2;

	if (!shown || !reserve(writer, most)) {
		writer->no_memory = true;
		return true;
	}
	if (!whole)
		escape_name(shown, max + 1, name);
	writer->text[writer->length++] = '"';
	writer->length += text_json(writer->text + writer->length, most, shown);
	if (!whole)
		writer->length += (size_t)sprintf(writer->text + writer->length, "%s", ellipsis);
	writer->text[writer->length++] = '"';
	writer->text[writer->length] = '\0';
	return whole;
}

void json_writer_string(struct json_writer *writer, const char *name)
{
	json_writer_name(writer, name, SIZE_MAX / 4);
}

void json_writer_done(struct json_writer *writer)
{
	free(TAKE_PTR(writer->text));
}

char *json_writer_take(struct json_writer *writer)
{
	return writer->no_memory ? NULL : TAKE_PTR(writer->text);
}
