/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A text that is put together piece by piece. JSON that a view writes is: a library's objects would
 * take it several times the memory, part of which it would keep.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "layerindex/cleanup.h"

struct json_writer {
	char *text; /* owned; NULL as long as nothing was written */
	size_t length, capacity;
	bool no_memory; /* for some piece */
};

void json_writer_print(struct json_writer *writer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A name of any bytes as a JSON string, quotes and all (name_printable()). */
void json_writer_string(struct json_writer *writer, const char *name);

/*
 * The same, of at most *max* bytes as it is shown; what is longer is cut between characters, and
 * ends in an ellipsis. Returns: whether it is whole.
 */
bool json_writer_name(struct json_writer *writer, const char *name, size_t max);

void json_writer_done(struct json_writer *writer);
DEFINE_CLEANUP(struct json_writer, json_writer_done)

/* Returns: the text, owned by the caller, or NULL where there was no memory for all of it. */
char *json_writer_take(struct json_writer *writer);
