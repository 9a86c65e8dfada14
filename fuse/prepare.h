/* SPDX-License-Identifier: Apache-2.0 */
/* From where the layers are to a view whose artifacts are known by name. */
#pragma once

#include "fuse/options.h"
#include "fuse/source.h"
#include "fuse/view.h"

/*
 * Opens the layers, and reads what boots from them. Nothing is mounted, and no artifact resolved.
 * Takes the id maps out of *source*. Returns: 0, or < 0 with *error*; view_done() in both cases.
 */
int view_prepare(const struct options *options, struct source *source, struct view *ret,
		 struct view_error *error);
