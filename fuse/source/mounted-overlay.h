/* SPDX-License-Identifier: Apache-2.0 */
/* SOURCE: the layers of the overlay that is mounted at a directory, or the directory itself. */
#pragma once

#include "fuse/base/error.h"
#include "fuse/cli/overlay-options.h"
#include "fuse/mount/mountinfo.h"

/* A mounted overlay whose lower layers are an image. */
struct mounted_overlay {
	int root;	  /* O_PATH of its root; -EBADF: there is none; owned */
	char *mountpoint; /* as mountinfo has it; owned */
};

#define MOUNTED_OVERLAY_INIT ((struct mounted_overlay){.root = -EBADF})

void mounted_overlay_done(struct mounted_overlay *overlay);

/*
 * The layers of the overlay mounted at *path*, or else the directory *path* as the only layer;
 * *ret_overlay*, which must be MOUNTED_OVERLAY_INIT, is then left as it is.
 * Returns: 0, or < 0 with *error*.
 */
int mounted_read(const char *path, struct overlay_options *ret, struct mounted_overlay *ret_overlay,
		 struct view_error *error);

/*
 * The options of a mounted overlay as mountinfo shows them: split at plain commas, then octal
 * escapes dropped; what is left is as the mount's maker gave it, overlayfs's own escapes and all.
 * *super* is changed.
 */
int mounted_options_parse(char *super, const char *name, struct overlay_options *ret,
			  struct view_error *error);

/*
 * The same for the mount of which *fd*, opened at *path*, is the root, and for nothing else. An
 * overlay takes ownership of *fd*.
 * Returns: > 0: an overlay, with *ret_overlay* and its layers; 0: no overlay, or a bind of a
 *	directory within one: *ret_mount* says what is mounted there, of which *ret_line*, owned by
 *	the caller, holds the strings, NULL where *fd* is no mount's root; < 0 with *error*.
 */
int mounted_overlay_read(int *fd, const char *path, struct overlay_options *ret,
			 struct mounted_overlay *ret_overlay, struct mount_entry *ret_mount,
			 char **ret_line, struct view_error *error);

/* Makes the directory at *path* the only layer. Returns: 0, or < 0 with *error*. */
int directory_read(const char *path, struct overlay_options *ret, struct view_error *error);
