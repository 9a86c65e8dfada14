/* SPDX-License-Identifier: Apache-2.0 */
/* The header block of one file in a tar archive. */
#pragma once

#include <stdint.h>

enum {
	TAR_BLOCK = 512,
	TAR_PREFIX_MAX = 155,
	TAR_NAME_MAX = 100,
};

/* What a header says, before anything that stands ahead of it is considered. */
struct tar_header {
	char name[TAR_PREFIX_MAX + 1 + TAR_NAME_MAX + 1], link[TAR_NAME_MAX + 1];
	char type;
	int64_t size, mode, uid, gid, mtime; /* as they are written, negative ones too */
};

/*
 * Reads a block of TAR_BLOCK bytes in any of the formats V7, ustar, star and GNU.
 * Returns: 0; or -EBADMSG: its checksum is wrong, or a field is no number.
 */
int tar_header_parse(const void *block, struct tar_header *ret);
