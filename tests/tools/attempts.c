/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked to urunc-viewfs's own objects: a look-up of the name "attempt:NAME" in a view has the
 * process that serves it try what somebody would who has taken it over.
 */
#include <string.h>

#include "fuse/view/view.h"
#include "tests/tools/attempt.h"

/* The linker makes two of view_lookup(), under names of its own (--wrap). */
uint32_t real_lookup(const struct view *view, uint32_t parent,
		     const char *name) __asm__("__real_view_lookup");
uint32_t wrapped_lookup(const struct view *view, uint32_t parent,
			const char *name) __asm__("__wrap_view_lookup");

uint32_t wrapped_lookup(const struct view *view, uint32_t parent, const char *name)
{
	static const char prefix[] = "attempt:";

	if (strncmp(name, prefix, sizeof(prefix) - 1) == 0)
		attempt(name + sizeof(prefix) - 1);
	return real_lookup(view, parent, name);
}
