/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second answer to what layerindex answers, in memory alone: the merge and the walk, written
 * down as plainly as overlayfs's rules can be said, by recursion, and without regard to speed.
 */
#pragma once

#include "tests/fuzz/tree.h"

/*
 * Where *path* leads in the merged tree.
 * Returns: 0, with the topmost entry that counts in *ret, or a negative errno value.
 */
int model_resolve(const struct tree *tree, const char *path, bool nofollow,
		  const struct node **ret);
