/* SPDX-License-Identifier: Apache-2.0 */
/* Settings in systemd's unit files, whether systemd runs or not (systemd.unit(5)). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { KILL_MODE_SIZE = 64 };

/*
 * The value of KillMode= that a unit file or drop-in gives its service: points into *text*, with
 * its length in *ret_size*; the last one counts, and an empty one is "control-group", the default.
 * Returns: NULL where it gives none.
 */
const char *unit_kill_mode(const char *text, size_t *ret_size);

/*
 * The same of an installed unit with all its drop-ins. Returns: whether it is
 * installed.
 */
bool unit_find_kill_mode(const char *unit, char ret[static KILL_MODE_SIZE]);
