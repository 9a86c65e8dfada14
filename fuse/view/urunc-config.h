/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What urunc boots from an image: its configuration, by its own rules
 * (pkg/unikontainers/config.go).
 */
#pragma once

#include <json-c/json.h>

#include "fuse/base/error.h"
#include "fuse/cli/options.h"
#include "fuse/source/image.h"

enum {
	URUNC_JSON_SIZE_MAX = 1 << 20,
	ARTIFACT_PATH_MAX = 4096, /* bytes, urunc's own limit */
};

#define URUNC_JSON "/urunc.json"

struct urunc_config {
	char *binary; /* as the image or the caller names it; owned */
	char *initrd; /* owned, or NULL */
};

/*
 * Finds out what boots: the annotations if they hold a whole configuration, else /urunc.json of the
 * image; binary= and initrd= take the place of one path each, and a urunc.json that nothing is
 * wanted from is not read. *annotations* may be NULL. *ret_config*, which must be IMAGE_FILE_INIT,
 * is filled where a urunc.json was read, so that it need not be found again.
 * Returns: 0, or < 0 with *error*.
 */
int urunc_config_read(const struct options *options, struct json_object *annotations,
		      const struct image *image, struct urunc_config *ret,
		      struct image_file *ret_config, struct view_error *error);

/* The same from the text of a urunc.json alone. Returns: 0, or < 0 with *error*. */
int urunc_config_parse(const char *text, size_t n, enum decode_rule decode,
		       struct urunc_config *ret, struct view_error *error);

/*
 * Checks a path by urunc's rules: of [A-Za-z0-9._/-] only, at most ARTIFACT_PATH_MAX bytes, clean,
 * not "/" or ".", beginning neither with ".." nor with "-".
 * Returns: NULL when it is allowed, else what is wrong with it (static).
 */
const char *urunc_path_fault(const char *path);

void urunc_config_done(struct urunc_config *boot);
DEFINE_CLEANUP(struct urunc_config, urunc_config_done)
