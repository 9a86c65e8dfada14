/* SPDX-License-Identifier: Apache-2.0 */
/* Standard base64 (RFC 4648 §4) as Go's base64.StdEncoding decodes it. */
#pragma once

#include <stddef.h>

/*
 * Decodes all of *text*; CR and LF are skipped, padding is required, and what trailing bits there
 * are is ignored.
 * Returns: 0, with an owned buffer in *ret, ended by a NUL that does not count; -EINVAL; -ENOMEM.
 */
int base64_decode(const char *text, char **ret, size_t *ret_size);
