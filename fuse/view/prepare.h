/* SPDX-License-Identifier: Apache-2.0 */
/* From where the layers are to a view whose artifacts are known by name. */
#pragma once

#include <stdbool.h>

#include "fuse/cli/options.h"
#include "fuse/source/source.h"
#include "fuse/view/view.h"

/*
 * Opens the layers, and reads what boots from them. Nothing is mounted, and no artifact resolved.
 * Takes the id maps out of *source*. *make_index*: what is learned will be kept, in an index that
 * is made where it is missing. Returns: 0, or < 0 with *error*; view_done() in both cases.
 */
int view_prepare(const struct options *options, struct source *source, bool make_index,
		 struct view *ret, struct view_error *error);
