/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A text that is put together piece by piece. JSON that a view writes is: a library's objects would
 * take it several times the memory, part of which it would keep.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "layerindex/cleanup.h"

struct draft {
	char *text; /* owned; NULL as long as nothing was written */
	size_t length, capacity;
	bool no_memory; /* for some piece */
};

void draft_print(struct draft *draft, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A JSON string, quotes and all, of any bytes (text_print()). */
void draft_json(struct draft *draft, const char *text);

void draft_done(struct draft *draft);
DEFINE_CLEANUP(struct draft, draft_done)

/* Returns: the text, owned by the caller, or NULL where there was no memory for all of it. */
char *draft_take(struct draft *draft);
