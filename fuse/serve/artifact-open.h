/* SPDX-License-Identifier: Apache-2.0 */
/* How a view's artifacts reach their readers: by the kernel itself, or through this process. */
#pragma once

#include <stdbool.h>

#include "fuse/base/error.h"
#include "fuse/serve/ready-line.h"
#include "fuse/view/view.h"

/* A view and the connection it is served on. */
struct artifact_opener {
	struct view *view;
	int connection;		  /* borrowed */
	bool passthrough;	  /* wanted, offered and allowed */
	const char *why_not;	  /* static; where it is wanted and not so */
	bool told;		  /* that some artifact is not passed through */
	struct view_facts *facts; /* for who asks; borrowed; NULL: nothing is told yet */
};

/*
 * Whether artifacts are passed through: all of those for which that is decided; as long as it is
 * for none, whether the kernel agreed to it.
 */
bool artifacts_pass_through(const struct artifact_opener *opener);

/*
 * Resolves an artifact for a request and decides, once, how it is read; what cannot
 * be resolved is logged once.
 * Returns: 0: it can be shown and opened; -ENOENT: it is permanently missing; -EIO: a layer or the
 *	machine failed with a fault that may pass: the next request looks again.
 */
int artifact_ensure_open(struct artifact_opener *opener, struct artifact *artifact);

/*
 * Looks once more at pinned artifacts that stay open, as the last thing before the sandbox: one
 * that has changed since it was hashed is missing.
 */
void artifacts_check_pins(struct artifact_opener *opener);

/* Whether it is decided of each artifact how it is read, or that it is missing. */
bool artifacts_are_settled(const struct artifact_opener *opener);

/*
 * Passes all artifacts that are resolved through. Returns: 0, or where one of them cannot be < 0
 * with *error*.
 */
int artifact_require_passthrough(struct artifact_opener *opener, const char *mountpoint,
				 struct view_error *error);
