/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks of layers, and names looked up in them. */
#pragma once

#include "layerindex/merge.h"
#include "tests/unit/fixture.h"

static inline struct li_stack *open_stack(size_t n, ...)
{
	struct li_stack *stack = NULL;
	char *paths[8];
	size_t bad;
	va_list args;

	va_start(args, n);
	for (size_t i = 0; i < n; i++)
		paths[i] = va_arg(args, char *);
	va_end(args);
	require_root();
	same_int("li_stack_open", li_stack_open(paths, n, 0, NULL, &stack, &bad), 0);
	return stack;
}

/* What *name* is in *at*: "LAYER" and its type, or the error. */
static inline const char *look(struct li_stack *stack, struct position *at, const char *name)
{
	cleanup_with(entry_done) struct entry entry = ENTRY_INIT;
	static char text[32];
	int r = merge_lookup(stack, at, name, &entry);

	if (r < 0)
		return strerrorname_np(-r);
	snprintf(text, sizeof(text), "%zu %s", entry.layer,
		 S_ISDIR(entry.st.st_mode) ? "directory" : "leaf");
	return text;
}
