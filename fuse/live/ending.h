/* SPDX-License-Identifier: Apache-2.0 */
/* A place that views are taken away from: end.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "fuse/base/error.h"

/* A place, and what became of it. */
struct ending {
	const char *path; /* absolute, or the caller's own words */
	dev_t device;	  /* of the view to remove; 0: whatever view is there */
	bool only_dead;	  /* it is left unless it is dead */

	/* Written by views_end(): */
	size_t removed;		  /* views */
	struct view_error *error; /* NULL: there is none; owned */
};
