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
	FLAGS2_ALLOW_IDMAP = 1 << (40 - 32),
	FLAGS2_HAS_RESEND = 1 << (39 - 32),
};

enum { OPCODE_TMPFILE = 51 };

/* Has the kernel send all unanswered requests again, with this bit in their numbers. */
enum { NOTIFY_RESEND = 7 };
#define UNIQUE_RESEND (UINT64_C(1) << 63)

/* The number of no request: the kernel counts from 0. */
#define UNIQUE_NONE (UINT64_C(1) << 62)

#define INIT_EXT (1U << 30)

struct init_in {
	uint32_t major, minor, max_readahead, flags, flags2;
};

struct init_out {
	uint32_t major, minor, max_readahead, flags;
	uint16_t max_background, congestion_threshold;
	uint32_t max_write, time_gran;
	uint16_t max_pages, map_alignment;
	uint32_t flags2, max_stack_depth, unused[6];
};
