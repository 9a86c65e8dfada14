/* SPDX-License-Identifier: Apache-2.0 */
/* Of TOML as much as one string in a configuration of this machine's own takes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * The string at *key* of the table *name*, whose parts are separated by dots and not quoted
 * ("plugins.cri.containerd"), in the last table of that name. A string that does not fit into
 * *size* bytes is cut. Strings in several lines, escapes in strings, inline tables and dotted keys
 * are not understood.
 * Returns: whether there is one.
 */
bool toml_string(const char *text, const char *name, const char *key, char *ret, size_t size);
