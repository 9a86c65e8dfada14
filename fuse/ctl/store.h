/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of viewfsctl store. */
#pragma once

#include <json-c/json.h>

#include "fuse/ctl/ctl.h"
#include "layerindex/store/store.h"

void store_print_help(void);

/* viewfsctl store add; argv[0] is "add". Returns: the exit status, or < 0 with *error*. */
int store_add(int argc, char **argv, struct view_error *error);

/* "artifact" and so on. */
const char *store_kind_name(enum li_store_kind kind);

/* The answer for an image's path, as text; owned, or NULL without memory. */
struct json_object *store_describe_answer(const struct li_store_answer *answer);
