/* SPDX-License-Identifier: Apache-2.0 */
/* What a view's successor has of the process that it replaces, and not of the upgrade. */
#pragma once

#include "fuse/base/error.h"
#include "fuse/serve/upgrade-target.h"

/*
 * Puts the process *pid* into the target's cgroups, of all hierarchies; and gives it the target's
 * oom_score_adj, scheduling class, nice value and processors. (Namespaces and user come later, in
 * its own program.)
 * Returns: 0, or < 0 with *error*.
 */
int place_process(const struct upgrade_target *target, pid_t pid, struct view_error *error);
