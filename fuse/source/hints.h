/* SPDX-License-Identifier: Apache-2.0 */
/* What a caller probably meant. */
#pragma once

#include "fuse/base/error.h"
#include "fuse/source/image.h"

/*
 * Adds to *error*, which says that an image of one layer is no unikernel, what its directory is
 * instead: an OCI bundle, an OCI layout, or a directory of docker's.
 */
void hint_at_form(const struct image *image, struct view_error *error);

/* Adds to *error*, where root may not open *path*, that FUSE keeps it from other users. */
void hint_at_fuse(const char *path, struct view_error *error);
