/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's structures here are as in include/uapi/linux/fuse.h: see fuse/base/fuse-kernel.h. */
#include "fuse/serve/passthrough.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fuse/base/fuse-kernel.h"

/*
 * Of Linux 5.4, which is older than all that views run on. What follows was added to the ends of
 * structures only, or is asked for by a flag.
 */
enum { PROTOCOL_MINOR = 31 };

/* What libfuse answers, too: listings always come with attributes. */
#define ANSWERED_FLAGS                                                                   \
	(FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_DO_READDIRPLUS | \
	 FUSE_ASYNC_DIO | FUSE_MAX_PAGES | INIT_EXT)

enum {
	OPEN_NOFLUSH = 1 << 5,
	OPEN_PASSTHROUGH = 1 << 7,
};

struct open_out {
	uint64_t fh;
	uint32_t open_flags;
	int32_t backing_id;
};

struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};

#define IOC_BACKING_OPEN _IOW(229, 1, struct backing_map)

int passthrough_negotiate(const void *init, size_t size, const struct wishes *wishes,
			  struct init_out *ret_answer, struct negotiated *ret)
{
	struct init_in in = {};

	memcpy(&in, init, size < sizeof(in) ? size : sizeof(in));
	if (in.major != FUSE_KERNEL_VERSION || in.minor < PROTOCOL_MINOR)
		return -EPROTO;
	/* Without the bit that says so there is no second word. */
	if (!(in.flags & INIT_EXT))
		in.flags2 = 0;
	*ret = (struct negotiated){
		.passthrough = wishes->passthrough && in.flags2 & FLAGS2_PASSTHROUGH,
		.resend = in.flags2 & FLAGS2_HAS_RESEND,
	};
	*ret_answer = (struct init_out){
		.major = FUSE_KERNEL_VERSION,
		.minor = PROTOCOL_MINOR,
		.max_readahead = in.max_readahead,
		.flags = in.flags & ANSWERED_FLAGS,
		.max_write = READ_MAX,
		.time_gran = 1,
		.max_pages = (uint16_t)(READ_MAX / sysconf(_SC_PAGESIZE)),
		.flags2 = in.flags2 & FLAGS2_DIRECT_IO_ALLOW_MMAP,
	};
	if (wishes->idmap)
		ret_answer->flags2 |= in.flags2 & FLAGS2_ALLOW_IDMAP;
	if (ret->passthrough) {
		ret_answer->flags2 |= FLAGS2_PASSTHROUGH;
		ret_answer->max_stack_depth = wishes->stacked ? 2 : 1;
	}
	return 0;
}

int passthrough_register(int connection, int fd)
{
	struct backing_map map = {.fd = fd};
	int id = ioctl(connection, IOC_BACKING_OPEN, &map);

	return id > 0 ? id : id < 0 ? -errno : -EINVAL;
}

bool passthrough_is_allowed(int connection)
{
	/* The privilege is checked before the descriptor (fs/fuse/passthrough.c). */
	return passthrough_register(connection, -1) == -EBADF;
}

void passthrough_reply_open(fuse_req_t req, int id)
{
	/* close(2) has nothing to wait for. */
	struct open_out out = {
		.open_flags = OPEN_PASSTHROUGH | OPEN_NOFLUSH,
		.backing_id = id,
	};

	/* libfuse's own answer has no room for the id before 3.17. */
	fuse_reply_buf(req, (const char *)&out, sizeof(out));
}
