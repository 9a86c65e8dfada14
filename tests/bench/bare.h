/* SPDX-License-Identifier: Apache-2.0 */
/* What floor.c and duties.c speak to the kernel: FUSE's first request, and no to every other. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { REQUEST_SIZE = 64 << 10 };

static char request[REQUEST_SIZE];

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	_exit(1);
}

/* What succeeds, or what it was done for fails. */
static int must(long r, const char *what)
{
	if (r < 0)
		fail(what);
	return (int)r;
}

static void answer(int connection, int error, const void *body, size_t size)
{
	const struct fuse_in_header *to = (const struct fuse_in_header *)request;
	struct fuse_out_header header = {
		.len = (uint32_t)(sizeof(header) + size),
		.error = error,
		.unique = to->unique,
	};
	struct iovec parts[] = {{&header, sizeof(header)}, {(void *)body, size}};

	/* ENOENT: whoever asked has been killed meanwhile. */
	if (writev(connection, parts, 2) < 0 && errno != ENOENT)
		fail("answer");
}

/* Answers the kernel's first request, which is there when a mount is made. */
static void answer_init(int connection)
{
	const struct fuse_init_out init = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_write = REQUEST_SIZE / 2,
	};

	if (must(read(connection, request, sizeof(request)), "INIT") <
	    (int)sizeof(struct fuse_in_header))
		fail("INIT");
	answer(connection, 0, &init, sizeof(init));
}

/* Until the mount is gone. */
static void refuse_requests(int connection)
{
	while (read(connection, request, sizeof(request)) > 0)
		answer(connection, -ENOSYS, NULL, 0);
}
