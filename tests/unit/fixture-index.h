/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of an index share. */
#pragma once

#include "layerindex/identity.h"
#include "tests/unit/fixture.h"

/* Returns: whether the kernel and the filesystem tell all that an identity is made of. */
static inline bool identify(const char *path, struct identity *ret)
{
	struct statx stx;

	assert_return_code(statx(AT_FDCWD, path, 0, identity_mask(), &stx), errno);
	return identity_of_directory(&stx, ret) == 0;
}

static inline void require_identities(void)
{
	struct identity identity;

	if (!identify(".", &identity)) {
		print_message("skipped: kernel: no unique mount ids, or no births of files\n");
		skip();
	}
}
