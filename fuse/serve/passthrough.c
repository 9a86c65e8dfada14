/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's structures here are as in include/uapi/linux/fuse.h: see fuse/base/fuse-kernel.h. */
#include "fuse/serve/passthrough.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/ioctl.h>

#include "fuse/base/fuse-kernel.h"

enum {
	OPEN_NOFLUSH = 1 << 5,
	OPEN_PASSTHROUGH = 1 << 7,
};

struct init_out {
	uint32_t major, minor, max_readahead, flags;
	uint16_t max_background, congestion_threshold;
	uint32_t max_write, time_gran;
	uint16_t max_pages, map_alignment;
	uint32_t flags2;
	uint32_t max_stack_depth;
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

struct negotiated passthrough_negotiate(const void *init, size_t init_size, void *reply,
					size_t reply_size, const struct wishes *wishes)
{
	struct negotiated negotiated = {};
	struct init_out out;
	struct init_in in;

	if (init_size < sizeof(struct fuse_in_header) + sizeof(in) ||
	    reply_size < sizeof(struct fuse_out_header) + sizeof(out))
		return negotiated;
	memcpy(&in, (const char *)init + sizeof(struct fuse_in_header), sizeof(in));
	memcpy(&out, (char *)reply + sizeof(struct fuse_out_header), sizeof(out));
	if (!(in.flags & INIT_EXT))
		return negotiated;
	negotiated.resend = in.flags2 & FLAGS2_HAS_RESEND;
	out.flags |= INIT_EXT;
	out.flags2 |= in.flags2 & FLAGS2_DIRECT_IO_ALLOW_MMAP;
	if (wishes->idmap)
		out.flags2 |= in.flags2 & FLAGS2_ALLOW_IDMAP;
	if (wishes->passthrough && in.flags2 & FLAGS2_PASSTHROUGH) {
		out.flags2 |= FLAGS2_PASSTHROUGH;
		out.max_stack_depth = wishes->stacked ? 2 : 1;
		negotiated.passthrough = true;
	}
	memcpy((char *)reply + sizeof(struct fuse_out_header), &out, sizeof(out));
	return negotiated;
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
