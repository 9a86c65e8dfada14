/* SPDX-License-Identifier: Apache-2.0 */
/* --bundle: an OCI bundle. */
#pragma once

#include <json-c/json.h>
#include <stddef.h>

#include "fuse/base/error.h"
#include "fuse/cli/overlay-options.h"
#include "fuse/source/mounted-overlay.h"

enum { CONFIG_JSON_SIZE_MAX = 4 << 20 };

/* The parts of a bundle's config.json that count (the OCI runtime specification). */
struct bundle_config {
	char *rootfs; /* root.path, relative to the bundle unless absolute; owned */
	struct json_object *annotations; /* an object; owned, or NULL */
};

/* From the text of a config.json. Returns: 0, or < 0 with *error*. */
int bundle_config_parse(const char *text, size_t n, const char *name, struct bundle_config *ret,
			struct view_error *error);

void bundle_config_done(struct bundle_config *config);
DEFINE_CLEANUP(struct bundle_config, bundle_config_done)

/* The config.json of the bundle *directory*. Returns: 0, or < 0 with *error*. */
int bundle_config_read(const char *directory, struct bundle_config *ret, struct view_error *error);

/*
 * An OCI bundle: the layers of what is mounted at its rootfs, with *ret_overlay*, which must be
 * MOUNTED_OVERLAY_INIT, if that is an overlay; and the annotations of its config.json (an object,
 * owned by the caller, or NULL where it has none; also where the rootfs is the error).
 * Returns: 0, or < 0 with *error*.
 */
int bundle_read(const char *directory, struct overlay_options *ret,
		struct mounted_overlay *ret_overlay, struct json_object **ret_annotations,
		struct view_error *error);
