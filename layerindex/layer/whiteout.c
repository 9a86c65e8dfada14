/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of fs/overlayfs/namei.c, ovl_lookup_single() and ovl_lookup(), for lower layers only,
 * with redirect_dir=nofollow and metacopy off.
 */
#include "layerindex/layer/whiteout.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

/* IS_WHITEOUT of include/linux/fs.h: nothing but the type and the device number counts. */
static bool is_whiteout_device(const struct entry_facts *facts)
{
	return S_ISCHR(facts->mode) && facts->rdev == makedev(0, 0);
}

unsigned overlay_xattrs_wanted(const struct entry_facts *facts, bool last)
{
	if (S_ISDIR(facts->mode))
		return last ? 0 : OVL_XATTR_OPAQUE | OVL_XATTR_REDIRECT;
	if (S_ISREG(facts->mode))
		return (facts->size == 0 ? OVL_XATTR_WHITEOUT : 0) | OVL_XATTR_METACOPY |
		       (last ? 0 : OVL_XATTR_REDIRECT);
	return 0;
}

enum entry_class entry_classify(const struct entry_facts *facts)
{
	if (is_whiteout_device(facts) || facts->marks & OVL_XATTR_WHITEOUT)
		return ENTRY_WHITEOUT;
	if (S_ISDIR(facts->mode)) {
		/* An opaque directory's redirect is not even read. */
		if (facts->marks & OVL_XATTR_OPAQUE)
			return ENTRY_DIR_LAST;
		return facts->marks & OVL_XATTR_REDIRECT ? ENTRY_REFUSED : ENTRY_DIR;
	}
	return facts->marks & OVL_XATTR_METACOPY ? ENTRY_REFUSED : ENTRY_LEAF;
}
