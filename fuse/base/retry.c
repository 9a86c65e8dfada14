/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/retry.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fuse/base/clock.h"

enum { PAUSE_MAX_MS = 100, WALK_FDS = 64 };

bool is_passing_fault(int r)
{
	switch (r) {
	case -EAGAIN:
	case -EINTR:
	case -EIO:
	case -EMFILE:
	case -ENFILE:
	case -ENOMEM:
	case -ETIMEDOUT: return true;
	default: return false;
	}
}

/*
 * Whether this process has the descriptors that a walk through layers may need: what lacked one was
 * the server of a layer then. Its own limit does not change while it waits.
 */
static bool has_descriptors(void)
{
	int fds[WALK_FDS];
	int n = 0;
	bool all;

	while (n < WALK_FDS && (fds[n] = eventfd(0, EFD_CLOEXEC)) >= 0)
		n++;
	all = n == WALK_FDS;
	while (n > 0)
		close(fds[--n]);
	return all;
}

bool retry_wait(struct retry *retry, int r)
{
	unsigned pause_ms = retry->pause_ms > 0 ? retry->pause_ms : 1;

	if (!is_passing_fault(r) || now_us() + pause_ms * UINT64_C(1000) >= retry->until_us)
		return false;
	if (r == -EMFILE && !has_descriptors())
		return false;
	poll(NULL, 0, (int)pause_ms);
	retry->pause_ms = 2 * pause_ms < PAUSE_MAX_MS ? 2 * pause_ms : PAUSE_MAX_MS;
	return true;
}
