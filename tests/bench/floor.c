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
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>

#include "bare.h"

enum { STACK_SIZE = 16 << 10 };

static char stack[STACK_SIZE] __attribute__((aligned(16)));

/* Opens every layer, and reads the configuration where the first of them has it. */
static void read_layers(char *layers)
{
	char bytes[4096];
	int config = -1;

	for (char *layer; (layer = strsep(&layers, ":"));) {
		int fd = must(open(layer, O_PATH | O_DIRECTORY | O_CLOEXEC), layer);

		if (config < 0)
			config = openat(fd, "urunc.json", O_RDONLY | O_CLOEXEC);
	}
	if (config < 0 || read(config, bytes, sizeof(bytes)) < 0)
		fail("urunc.json");
}

/* Mounts there, and answers the kernel. Returns: the connection. */
static int mount_and_answer(const char *path)
{
	int connection = must(open("/dev/fuse", O_RDWR | O_CLOEXEC), "/dev/fuse");
	char options[64];

	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", connection);
	must(mount(program_invocation_short_name, path, "fuse", MS_RDONLY, options), path);
	answer_init(connection);
	return connection;
}

static int stay(void *connection)
{
	refuse_requests(*(int *)connection);
	return 0;
}

int main(int argc, char **argv)
{
	/* Read when this stack is nobody's any more. */
	static int connection;

	if (argc != 3) {
		fputs("floor: wrong call; see the head of floor.c\n", stderr);
		return 2;
	}
	read_layers(argv[1]);
	connection = mount_and_answer(argv[2]);
	must(clone(stay, stack + STACK_SIZE, CLONE_VM | SIGCHLD, &connection), "clone");
	_exit(0);
}
