/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The meaning of one entry of one layer for the merge: overlayfs's rules as functions of facts,
 * whatever form the layer has.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* The marks of overlayfs that lower layers carry (fs/overlayfs/overlayfs.h, enum ovl_xattr). */
enum overlay_xattr {
	OVL_XATTR_WHITEOUT = 1 << 0,
	OVL_XATTR_OPAQUE = 1 << 1,
	OVL_XATTR_METACOPY = 1 << 2,
	OVL_XATTR_REDIRECT = 1 << 3,
};

/* Facts about an entry, before and after its marks are read. */
struct entry_facts {
	mode_t mode;
	dev_t rdev;
	off_t size;
	unsigned marks; /* enum overlay_xattr, of those that overlay_xattrs_wanted() asked for */
};

enum entry_class {
	ENTRY_WHITEOUT, /* hides the name, here and below */
	ENTRY_LEAF,	/* anything but a directory */
	ENTRY_DIR,	/* a directory that merges with those below */
	ENTRY_DIR_LAST, /* an opaque directory: nothing below it counts */
	ENTRY_REFUSED,	/* redirect or metacopy, which are not followed */
};

/*
 * Which marks decide what the entry is. *last* says that the layer is the last one of the parent's
 * directory stack: there is nothing below that opaque or redirect could speak of.
 */
unsigned overlay_xattrs_wanted(const struct entry_facts *facts, bool last);

enum entry_class entry_classify(const struct entry_facts *facts);
