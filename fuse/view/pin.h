/* SPDX-License-Identifier: Apache-2.0 */
/* Pinned content: artifacts that must have the digests of the call (digest.binary= and its kin). */
#pragma once

#include "fuse/view/view.h"

/* Fills in the artifact's digest; a stored image's is known. Returns: 0, or -errno of reading. */
int artifact_hash(struct artifact *artifact);

/* Whether the options pin any artifact. */
bool view_is_pinned(const struct options *options);

/*
 * Checks the artifacts of a resolved view: each that is pinned must have its digest, and must not
 * change while it is hashed. Returns: 0, or < 0 with *error*.
 */
int view_check_pins(struct view *view, const struct options *options, struct view_error *error);

/* Whether an open artifact, if it is pinned, is what was hashed still. */
bool artifact_is_as_pinned(const struct artifact *artifact);
