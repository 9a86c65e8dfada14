/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/live/end-process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>

#include "fuse/base/clock.h"
#include "fuse/live/view-process.h"
#include "layerindex/cleanup.h"

int process_terminate(int pidfd)
{
	if (pidfd_send_signal(pidfd, SIGTERM, NULL, 0) < 0)
		return errno == ESRCH ? 0 : -errno;
	pidfd_send_signal(pidfd, SIGCONT, NULL, 0);
	return 0;
}

int process_wait_end(int pidfd, uint64_t deadline_us)
{
	struct pollfd end = {.fd = pidfd, .events = POLLIN};
	uint64_t now = now_us();
	int n = poll(&end, 1, now < deadline_us ? (int)((deadline_us - now) / 1000 + 1) : 0);

	return n > 0 ? 0 : n < 0 ? -errno : -ETIMEDOUT;
}

int view_process_end(pid_t pid, dev_t device)
{
	cleanup_close int pidfd = view_process_open(pid, device);
	int r;

	if (pidfd < 0)
		return pidfd == -ESRCH ? 0 : pidfd;
	r = process_terminate(pidfd);
	return r < 0 ? r : process_wait_end(pidfd, now_us() + END_MS * UINT64_C(1000));
}
