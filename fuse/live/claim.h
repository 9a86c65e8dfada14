/* SPDX-License-Identifier: Apache-2.0 */
/* Claiming a mountpoint: two calls must not mount there at once, and a dead view gives way. */
#pragma once

#include <sys/stat.h>

#include "fuse/base/error.h"
#include "layerindex/cleanup.h"

struct claim {
	int place; /* the directory to mount on, O_PATH; owned, -EBADF: none yet */
	int lock;  /* keeps other calls away; owned, -EBADF: could not be had */
	int live;  /* the root of a live view that is there, O_PATH; owned, -EBADF: none */
	struct statx opened; /* what the place was when it was opened */
	struct statx alive;  /* what claim_prepare() found to be one, and stx_mnt_id 0: none */
};

#define CLAIM_INIT ((struct claim){.place = -EBADF, .lock = -EBADF, .live = -EBADF})

/*
 * Opens the directory at *path*, absolute and without symlinks, to be mounted on, and keeps other
 * calls from it until claim_done() (best effort). A dead view that stands there is removed.
 * *ret* must be CLAIM_INIT, or prepared.
 * Returns: 0; > 0: a live view is there; < 0 with *error*; claim_done() in all cases.
 */
int view_claim(const char *path, struct claim *ret, struct view_error *error);

/*
 * Removes dead views from *path*, before view_claim(), by a process that may become other users:
 * only its owner is told that a view is dead. *ret* must be CLAIM_INIT, and has a descriptor then
 * where the place is free.
 */
void claim_prepare(const char *path, struct claim *ret);

/* Gives the place free. */
void claim_done(struct claim *claim);
DEFINE_CLEANUP(struct claim, claim_done)
