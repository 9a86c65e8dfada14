/* SPDX-License-Identifier: Apache-2.0 */
/* Replaces the process of a view by one of the installed program. The other side: takeover.h. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "fuse/base/error.h"

/* A view that the caller wants to upgrade. */
struct upgrade_wish {
	pid_t pid;	     /* that serves it, or stands by, as far as is known */
	dev_t device;	     /* of its mounts */
	uid_t owner;	     /* of these */
	unsigned generation; /* how many processes have served it; 0: unknown */
};

/*
 * Upgrades it to *program*, a descriptor of the file, until *deadline_us* (now_us()) at the latest.
 * As long as the new process is not ready to serve, a failure leaves the old one as it is. After
 * that no reader waits longer than until the old one has ended.
 * Returns: the new process, which may be one that stands by; -ESRCH: the old one is gone, or
 *	another one's by now; or < 0 with *error*.
 */
pid_t upgrade_view(const struct upgrade_wish *wish, int program, uint64_t deadline_us,
		   struct view_error *error);
