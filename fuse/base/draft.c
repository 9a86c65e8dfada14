/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/draft.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/text.h"

/* Makes room for *n* bytes and a NUL. */
static bool reserve(struct draft *draft, size_t n)
{
	size_t capacity = draft->capacity ? draft->capacity : 512;
	char *text;

	while (capacity - draft->length <= n)
		capacity *= 2;
	if (draft->no_memory || capacity == draft->capacity)
		return !draft->no_memory;
	text = realloc(draft->text, capacity);
	draft->no_memory = !text;
	if (!text)
		return false;
	draft->text = text;
	draft->capacity = capacity;
	return true;
}

void draft_print(struct draft *draft, const char *format, ...)
{
	cleanup_free char *piece = NULL;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&piece, format, args);
	va_end(args);
	if (n < 0) {
		piece = NULL;
		draft->no_memory = true;
	} else if (reserve(draft, (size_t)n)) {
		memcpy(draft->text + draft->length, piece, (size_t)n + 1);
		draft->length += (size_t)n;
	}
}

void draft_json(struct draft *draft, const char *text)
{
	cleanup_free char *shown = text_printable(text);
	size_t most = shown ? 2 * strlen(shown) + 2 : 0;

	if (!shown || !reserve(draft, most)) {
		draft->no_memory = true;
		return;
	}
	draft->text[draft->length++] = '"';
	draft->length += text_json(draft->text + draft->length, most, shown);
	draft->text[draft->length++] = '"';
	draft->text[draft->length] = '\0';
}

void draft_done(struct draft *draft)
{
	free(TAKE_PTR(draft->text));
}

char *draft_take(struct draft *draft)
{
	return draft->no_memory ? NULL : TAKE_PTR(draft->text);
}
