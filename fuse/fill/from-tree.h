/* SPDX-License-Identifier: Apache-2.0 */
/* Fills the artifact store from a tree: the image as it is unpacked. */
#pragma once

#include "fuse/fill/fill.h"

/* A call that reads the directory *tree*, which is borrowed; tree_open() says which are accepted.
 * The caller must set what is about the view. */
struct fill_call fill_call_of_tree(const char *tree, const struct li_digest *chain);
