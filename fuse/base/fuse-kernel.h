/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Definitions of include/uapi/linux/fuse.h since protocol 7.36, which Debian 12's headers do not
 * have, under names of our own.
 */
#pragma once

#include <stdint.h>

enum {
	/* Bits of the second word of flags. */
	FLAGS2_DIRECT_IO_ALLOW_MMAP = 1 << (36 - 32),
	FLAGS2_PASSTHROUGH = 1 << (37 - 32),
};

enum { OPCODE_TMPFILE = 51 };

#define INIT_EXT (1U << 30)

struct init_in {
	uint32_t major, minor, max_readahead, flags, flags2;
};
