/* SPDX-License-Identifier: Apache-2.0 */
/* The fingerprint of a call: equal for calls that ask for the same view. */
#pragma once

#include "fuse/view/view.h"

enum { FINGERPRINT_SIZE = 65 }; /* the digits of a SHA-256, and a NUL */

/*
 * Writes the SHA-256 of all that a view shows: its id; its layers, in their order and as the
 * directories that they are (struct li_root), or the chain id of a stored image; the artifacts'
 * paths and roles; their owners and permission bits; and how overlay marks and urunc.json are read.
 * Equal for calls that ask for the same; the layers must not have been released.
 */
void view_fingerprint(const struct view *view, const struct options *options,
		      char ret[static FINGERPRINT_SIZE]);
