/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks of layers, and names looked up in them. */
#pragma once

#include "layerindex/merge/merge.h"
#include "tests/unit/fixture.h"

static inline struct li_stack *open_paths(const struct li_index *index, unsigned flags, size_t n,
					  va_list args)
{
	struct li_stack *stack = NULL;
	char *paths[8];
	size_t bad;

	for (size_t i = 0; i < n; i++)
		paths[i] = va_arg(args, char *);
	require_root();
	same_int("li_stack_open", li_stack_open(paths, n, flags, index, &stack, &bad), 0);
	return stack;
}

static inline struct li_stack *open_stack(size_t n, ...)
{
	struct li_stack *stack;
	va_list args;

	va_start(args, n);
	stack = open_paths(NULL, 0, n, args);
	va_end(args);
	return stack;
}

static inline struct li_stack *open_indexed(const struct li_index *index, unsigned flags, size_t n,
					    ...)
{
	struct li_stack *stack;
	va_list args;

	va_start(args, n);
	stack = open_paths(index, flags, n, args);
	va_end(args);
	return stack;
}

/* What *name* is in *at*: "LAYER" and its type, or the error. */
static inline const char *look(struct li_stack *stack, struct cursor *at, const char *name)
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
