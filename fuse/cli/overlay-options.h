/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overlayfs's own mount options, as far as they say where the layers are: typed, in containerd's
 * JSON, or printed in mountinfo. Grammar: fs/overlayfs/params.c.
 */
#pragma once

#include <stdbool.h>

#include "fuse/base/error.h"
#include "fuse/base/text.h"
#include "fuse/cli/idmap.h"

struct overlay_options {
	struct strings lowers; /* topmost first, unescaped, perhaps relative */
	bool lowerdir_seen;    /* lowerdir= was given: no lowerdir+= may follow */
	bool has_data_layers;  /* data-only layers were asked for */
	char *upper;	       /* upperdir=, which only says what relative layers are relative to */
	bool userxattr;
	struct idmap uids, gids;
	struct idmap *last_map; /* what a further "C:H:N" after a comma belongs to, or NULL */
};

/*
 * Cuts the next option off *rest*, in place, at the first comma without a backslash before it.
 * Returns: the option, or NULL at the end.
 */
char *overlay_options_next(char **rest);

/* Drops the backslash of every "\c", and one at the very end, in place (ovl_unescape()). */
void overlay_unescape(char *value);

/*
 * Reads one option. *value* is NULL when there is no "="; it is changed. *where* names the input
 * in messages.
 * Returns: > 0: it is one of those above; 0: it is not, and *overlay* is as before; < 0: *error*.
 */
int overlay_options_set(struct overlay_options *overlay, const char *key, char *value,
			const char *where, struct view_error *error);

/* Whether *key* is no name but a further "C:H:N" after the comma of an idmap. */
bool overlay_is_idmap_range(const char *key);

void overlay_options_done(struct overlay_options *overlay);
DEFINE_CLEANUP(struct overlay_options, overlay_options_done)
