/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor LAYERS TARGET: the least that any program must do to have a FUSE filesystem ready of layers
 * separated by colons, and not a thing more: each layer is opened, urunc.json is read, /dev/fuse is
 * mounted, the kernel's first request is answered, and a process stays behind that shares the
 * memory of the one that its caller waits for. It parses nothing, finds nothing, checks nothing,
 * reports nothing, and has no answer to any request but the first.
 *
 * What a view's start takes beyond this is ours; what this takes is the kernel's and the dynamic
 * linker's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include <unistd.h>

enum { REQUEST_SIZE = 64 << 10, STACK_SIZE = 16 << 10 };

static char request[REQUEST_SIZE];
static char stack[STACK_SIZE] __attribute__((aligned(16)));
static int connection;

static void fail(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Opens every layer, and reads the configuration where the first of them has it. */
static void read_layers(char *layers)
{
	char bytes[4096];
	int config = -1;

	for (char *layer; (layer = strsep(&layers, ":"));) {
		int fd = open(layer, O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			fail(layer);
		if (config < 0)
			config = openat(fd, "urunc.json", O_RDONLY | O_CLOEXEC);
	}
	if (config < 0 || read(config, bytes, sizeof(bytes)) < 0)
		fail("urunc.json");
}

static void answer(const struct fuse_in_header *to, int error, const void *body, size_t size)
{
	struct fuse_out_header header = {
		.len = (uint32_t)(sizeof(header) + size),
		.error = error,
		.unique = to->unique,
	};
	struct iovec parts[] = {{&header, sizeof(header)}, {(void *)body, size}};

	if (writev(connection, parts, 2) < 0 && errno != ENOENT)
		fail("answer");
}

static void answer_init(void)
{
	const struct fuse_init_out init = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_write = REQUEST_SIZE / 2,
	};

	if (read(connection, request, sizeof(request)) < (ssize_t)sizeof(struct fuse_in_header))
		fail("INIT");
	answer((const struct fuse_in_header *)request, 0, &init, sizeof(init));
}

/* Until the mount is gone. */
static int stay(void *argument)
{
	(void)argument;
	while (read(connection, request, sizeof(request)) > 0)
		answer((const struct fuse_in_header *)request, -ENOSYS, NULL, 0);
	return 0;
}

int main(int argc, char **argv)
{
	char options[64];

	if (argc != 3) {
		fputs("floor: wrong call; see the head of floor.c\n", stderr);
		return 2;
	}
	read_layers(argv[1]);
	connection = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (connection < 0)
		fail("/dev/fuse");
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", connection);
	if (mount("floor", argv[2], "fuse", MS_RDONLY, options) < 0)
		fail(argv[2]);
	answer_init();
	if (clone(stay, stack + STACK_SIZE, CLONE_VM | SIGCHLD, NULL) < 0)
		fail("clone");
	_exit(0);
}
