/* SPDX-License-Identifier: Apache-2.0 */
/* Whether two calls ask for the same view. */
#pragma once

#include <stdint.h>

#include "fuse/view/view.h"

/*
 * A number for what a view shows and how: its layers, in their order and as the directories that
 * they are, its artifacts' paths, their owners and permission bits, and whether the kernel is to
 * read them. Equal for calls that ask for the same, on one machine until it is booted again. It
 * tells different calls apart, but not from one that was made to look the same. The layers must
 * not have been released.
 */
uint64_t view_fingerprint(const struct view *view, const struct options *options);
