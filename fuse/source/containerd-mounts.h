/* SPDX-License-Identifier: Apache-2.0 */
/* --mounts: containerd's JSON array of mounts. */
#pragma once

#include <stddef.h>

#include "fuse/base/error.h"
#include "fuse/cli/overlay-options.h"

enum { MOUNTS_JSON_SIZE_MAX = 16 << 20 };

/*
 * containerd's JSON array of mounts, or an object with one, from *file* ("-" is stdin): one
 * overlay, or one bind that is read-only, whose source becomes the only layer. Messages call the
 * input *name*.
 */
int mounts_read(const char *file, const char *name, struct overlay_options *ret,
		struct view_error *error);

/* The same for a text in memory. */
int mounts_parse(const char *text, size_t n, const char *name, struct overlay_options *ret,
		 struct view_error *error);
