/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a caller could do in place of a view, each in a process that does nothing else.
 *
 * peer mount TYPE SOURCE TARGET OPTIONS      one mount(2), read-only
 * peer bind SOURCE TARGET                    one bind mount
 * peer overlay-binds OPTIONS OVERLAY TARGET FILE...
 *                                            an overlay, and each FILE of it bound on TARGET/FILE
 * peer copy DIRECTORY FILE...                each FILE into DIRECTORY, as urunc does
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

enum { COPY_BLOCK = 32 << 10 }; /* io.Copy's, in Go's library */

static void fail(const char *what)
{
	fprintf(stderr, "peer: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void mount_or_fail(const char *source, const char *target, const char *type,
			  unsigned long flags, const char *options)
{
	if (mount(source, target, type, flags, options) < 0)
		fail(target);
}

/* DIRECTORY/NAME, which the caller lets the end of the process free. */
static const char *join(const char *directory, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", directory, name) < 0)
		fail("memory");
	return path;
}

static void overlay_binds(const char *options, const char *overlay, const char *target,
			  char **files)
{
	mount_or_fail("overlay", overlay, "overlay", MS_RDONLY, options);
	for (; *files; files++)
		mount_or_fail(join(overlay, *files), join(target, *files), NULL, MS_BIND, NULL);
}

static void copy(const char *source, const char *target)
{
	static char block[COPY_BLOCK];
	int in = open(source, O_RDONLY | O_CLOEXEC);
	int out = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n;

	if (in < 0 || out < 0)
		fail(in < 0 ? source : target);
	while ((n = read(in, block, sizeof(block))) > 0)
		if (write(out, block, (size_t)n) != n)
			fail(target);
	if (n < 0)
		fail(source);
	close(in);
	close(out);
}

static void copy_all(const char *directory, char **files)
{
	for (; *files; files++)
		copy(*files, join(directory, basename(*files)));
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "mount") == 0 && argc == 6)
		mount_or_fail(argv[3], argv[4], argv[2], MS_RDONLY, argv[5]);
	else if (strcmp(what, "bind") == 0 && argc == 4)
		mount_or_fail(argv[2], argv[3], NULL, MS_BIND, NULL);
	else if (strcmp(what, "overlay-binds") == 0 && argc > 5)
		overlay_binds(argv[2], argv[3], argv[4], argv + 5);
	else if (strcmp(what, "copy") == 0 && argc > 3)
		copy_all(argv[2], argv + 3);
	else {
		fputs("peer: wrong call; see the head of peer.c\n", stderr);
		return 2;
	}
	return 0;
}
