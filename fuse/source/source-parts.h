/* SPDX-License-Identifier: Apache-2.0 */
/* The forms that source.c puts together; each fills an overlay, as if it had been typed. */
#pragma once

#include <json-c/json.h>

#include "fuse/base/error.h"
#include "fuse/cli/overlay-options.h"

enum {
	MOUNTS_JSON_SIZE_MAX = 16 << 20,
	CONFIG_JSON_SIZE_MAX = 4 << 20,
};

/*
 * Where the directory at *path* lies: an absolute path, without links as far as that can be said;
 * owned.
 * Returns: NULL with errno. ENOENT: also where no path leads, to a mount that is gone and that only
 *	a descriptor holds.
 */
char *layer_path(const char *path);

/*
 * containerd's JSON array of mounts, from *file* ("-" is stdin): one overlay, or one bind, whose
 * source becomes the only layer. *name* is what messages call it.
 */
int mounts_read(const char *file, const char *name, struct overlay_options *ret,
		struct view_error *error);

/* The same for a text in memory. */
int mounts_parse(const char *text, size_t n, const char *name, struct overlay_options *ret,
		 struct view_error *error);

/*
 * The layers of the overlay mounted at *path* (> 0), or else the directory *path* as the only
 * layer (0). Returns < 0 with *error*.
 */
int mounted_read(const char *path, struct overlay_options *ret, struct view_error *error);

/*
 * The options of a mounted overlay as mountinfo shows them: split at plain commas, then octal
 * escapes dropped; what is left is as the mount's maker gave it, overlayfs's own escapes and all.
 * *super* is changed.
 */
int mounted_options_parse(char *super, const char *name, struct overlay_options *ret,
			  struct view_error *error);

/* What counts of a bundle's config.json (the OCI runtime specification). */
struct bundle_config {
	char *rootfs; /* root.path, relative to the bundle unless absolute; owned */
	struct json_object *annotations; /* an object; owned, or NULL */
};

/* From the text of a config.json. Returns: 0, or < 0 with *error*. */
int bundle_config_parse(const char *text, size_t n, const char *name, struct bundle_config *ret,
			struct view_error *error);

void bundle_config_done(struct bundle_config *config);
DEFINE_CLEANUP(struct bundle_config, bundle_config_done)

/*
 * An OCI bundle: what is mounted at its rootfs, and the annotations of its config.json (an object,
 * owned by the caller, or NULL where it has none).
 */
int bundle_read(const char *directory, struct overlay_options *ret,
		struct json_object **ret_annotations, struct view_error *error);
