/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of viewfsctl store. */
#pragma once

#include <json-c/json.h>

#include "fuse/ctl/ctl.h"
#include "layerindex/store/store.h"

void store_print_help(void);

/* viewfsctl store add; argv[0] is "add". Returns: the exit status, or < 0 with *error*. */
int store_add(int argc, char **argv, struct view_error *error);

/* The answer for an image's path, as text; owned, or NULL without memory. */
struct json_object *store_describe_answer(const struct li_store_answer *answer);

/*
 * Opens the store that *options* name; a missing one is no error, and NULL. *ret_directory*, owned,
 * is where it is or would be. Returns: 0, or < 0 with *error*.
 */
int store_open_named(const struct options *options, char **ret_directory, struct li_store **ret,
		     struct view_error *error);
