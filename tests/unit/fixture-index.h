/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of an index share. */
#pragma once

#include "layerindex/index/identity.h"
#include "tests/unit/fixture.h"

/* Returns: whether the kernel and the filesystem tell all that an identity is made of. */
static inline bool identify(const char *path, struct identity *ret)
{
	struct statx stx;

	assert_return_code(statx(AT_FDCWD, path, 0, identity_mask(), &stx), errno);
	return identity_of_directory(&stx, ret) == 0;
}

/* Waits for the clock's next tick: what changes from then on has later times. */
static inline void wait_tick(void)
{
	struct timespec now, tick;

	clock_gettime(CLOCK_REALTIME, &now);
	do {
		usleep(1000);
		clock_gettime(CLOCK_REALTIME_COARSE, &tick);
	} while (tick.tv_sec < now.tv_sec ||
		 (tick.tv_sec == now.tv_sec && tick.tv_nsec <= now.tv_nsec));
}

static inline void require_identities(void)
{
	struct identity identity;

	if (!identify(".", &identity)) {
		print_message("skipped: kernel: no unique mount ids, or no births of files\n");
		skip();
	}
}
