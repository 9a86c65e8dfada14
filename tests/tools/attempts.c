/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked to urunc-viewfs's own objects: a look-up of the name "attempt:NAME" in a view has the
 * process that serves it try what somebody would who has taken it over. With ATTEMPT_STANDBY=NAME a
 * process that stands by tries it before it starts a child.
 */
#include <stdlib.h>
#include <string.h>

#include "fuse/process/standby.h"
#include "fuse/view/view.h"
#include "tests/tools/attempt.h"

/* The linker makes two of each function, under names of its own (--wrap). */
uint32_t real_lookup(const struct view *view, uint32_t parent,
		     const char *name) __asm__("__real_view_lookup");
uint32_t wrapped_lookup(const struct view *view, uint32_t parent,
			const char *name) __asm__("__wrap_view_lookup");
enum standby_role real_start(struct standby *standby, int *ret) __asm__("__real_standby_start");
enum standby_role wrapped_start(struct standby *standby, int *ret) __asm__("__wrap_standby_start");

static const char *in_standby;

/* The environment is gone by the time that a process stands by. */
__attribute__((constructor)) static void read_standby(void)
{
	in_standby = getenv("ATTEMPT_STANDBY");
}

uint32_t wrapped_lookup(const struct view *view, uint32_t parent, const char *name)
{
	static const char prefix[] = "attempt:";

	if (strncmp(name, prefix, sizeof(prefix) - 1) == 0)
		attempt(name + sizeof(prefix) - 1);
	return real_lookup(view, parent, name);
}

enum standby_role wrapped_start(struct standby *standby, int *ret)
{
	if (in_standby)
		attempt(in_standby);
	return real_start(standby, ret);
}
