/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking views what they are (view-answer.h). A view whose process is stopped or hangs keeps every
 * process waiting that asks it, where not even SIGKILL reaches it. So a child asks, and is left
 * alone when it takes too long; one child for all views that answer, and another one only when one
 * has to wait. Where requests wait in a view and none is answered, no other one is added.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "layerindex/cleanup.h"

struct question {
	const char *path;  /* where the view stands; NULL: *fd* is its root, or a file of it */
	int fd;		   /* O_PATH; borrowed */
	uint64_t mount_id; /* with *path*: the mount that must stand there, and its device */
	dev_t device;
	uid_t owner; /* of the mount; another user's view is asked as that user */
	gid_t group;

	/* Written by ask_all(): */
	char *answer; /* with a NUL behind it; owned by the caller, or NULL */
	size_t length;
	/*
	 * 0: there is an answer. The view is alive: -ENOTTY, a version before 0.2; -EACCES: it does
	 * not tell this user. -ENOTCONN: it is dead. -ETIMEDOUT: it does not answer. -ESTALE:
	 * another mount stands there, or covers it. Or why *path* cannot be opened.
	 */
	int result;
};

/*
 * Asks all of them, and waits at most until *deadline_us* (now_us()), and for each one not longer
 * than two seconds. Returns: 0, or -ENOMEM; what could not be asked has the result -ETIMEDOUT.
 */
int ask_all(struct question *questions, size_t n, uint64_t deadline_us);
