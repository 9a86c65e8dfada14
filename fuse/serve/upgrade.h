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

/* An upgrade that has begun. */
struct upgrade;

/*
 * Begins to upgrade a view to *program*, a descriptor of the file, borrowed: starts the new
 * process, which gets ready meanwhile, and changes nothing. No other upgrade of the view can begin.
 * Returns: 0, with *ret* owned by the caller; -ESRCH: the view's process is gone, or another one's
 *	by now; or < 0 with *error*.
 */
int upgrade_begin(const struct upgrade_wish *wish, int program, struct upgrade **ret,
		  struct view_error *error);

/*
 * Has the new process serve, if it is ready by *deadline_us* (now_us()), and frees *upgrade*. As
 * long as the new process is not ready to serve, a failure leaves the old one as it is. After that
 * no reader waits longer than until the old one has ended.
 * Returns: the new process, which may be one that stands by; or < 0 with *error*.
 */
pid_t upgrade_finish(struct upgrade *upgrade, uint64_t deadline_us, struct view_error *error);

/* Frees it, and leaves the view as it was. */
void upgrade_drop(struct upgrade *upgrade);
