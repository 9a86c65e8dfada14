/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program gets one end of a socket, whose number stands in its environment, and sends the
 * connection through it. Run to its end: what it sent waits in the socket.
 */
#include "fuse/mount/fusermount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/base/messages.h"
#include "fuse/base/text.h"
#include "fuse/process/inherited.h"
#include "layerindex/cleanup.h"

#define PROGRAM "fusermount3"

enum {
	COMMFD = 3, /* the socket's number in the program */
	WORDS_SIZE = 1024,
};

static void become_fusermount(char *const argv[], int socket, int words)
{
	char *const environment[] = {(char[]){"_FUSE_COMMFD=3"}, NULL};

	if (dup2(words, STDERR_FILENO) < 0)
		_exit(1);
	/* Which stays open over the exec: a descriptor that is its own copy is left as it was. */
	if (socket == COMMFD)
		fcntl(socket, F_SETFD, 0);
	else if (socket >= 0)
		dup2(socket, COMMFD);
	signals_of_program();
	execvpe(PROGRAM, argv, environment);
	dprintf(STDERR_FILENO, "%s\n", strerror(errno));
	_exit(1);
}

/* The last line of what the program says, without its name: warnings come first. */
static void read_words(int fd, char words[static WORDS_SIZE])
{
	static const char name[] = PROGRAM ": ";
	size_t size = 0;
	char *line;
	ssize_t n;

	do {
		n = read(fd, words + size, WORDS_SIZE - 1 - size);
		size += n > 0 ? (size_t)n : 0;
	} while (n > 0 || (n < 0 && errno == EINTR));
	while (size > 0 && words[size - 1] == '\n')
		size--;
	words[size] = '\0';
	line = strrchr(words, '\n');
	line = line ? line + 1 : words;
	if (strncmp(line, name, strlen(name)) == 0)
		line += strlen(name);
	memmove(words, line, strlen(line) + 1);
}

/* Runs it to its end, with *socket* or, if negative, none. Returns: 0 or -errno. */
static int fusermount_run(char *const argv[], int socket, char words[static WORDS_SIZE])
{
	cleanup_close int reader = -EBADF;
	int ends[2], status;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	reader = ends[0];
	/* Without the C library's preparations, which a shared heap may not bear. */
	pid = _Fork();
	if (pid == 0)
		become_fusermount(argv, socket, ends[1]);
	close(ends[1]);
	if (pid < 0)
		return -errno;
	read_words(reader, words);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

/* What the program sent. Returns: a descriptor or -errno. */
static int receive_descriptor(int socket)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr aligned;
	} control;
	char byte;
	struct iovec data = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	int fd;

	if (recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(fd)))
		return -EBADMSG;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

/* Returns: a descriptor, or -errno, with *words*, which may be empty. */
static int mount_with(char *path, char *options, char words[static WORDS_SIZE])
{
	char *argv[] = {(char[]){PROGRAM}, (char[]){"-o"}, options, (char[]){"--"}, path, NULL};
	cleanup_close int here = -EBADF;
	cleanup_close int there = -EBADF;
	int ends[2];
	int r;

	words[0] = '\0';
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	here = ends[0];
	there = ends[1];
	r = fusermount_run(argv, there, words);
	return r < 0 ? r : receive_descriptor(here);
}

int fusermount_mount(const char *path, const char *label, struct view_error *error)
{
	/* Only the program can say whether others are permitted: where its configuration lies was
	 * settled when it was built. */
	static const char others[][sizeof(",allow_other")] = {",allow_other", ""};
	cleanup_free char *escaped = option_escape(label);
	char words[WORDS_SIZE];
	int fd = -EPERM;

	if (!escaped)
		return view_fail(error, MSG_NO_MEMORY);
	for (int i = 0; i < 2 && fd == -EPERM; i++) {
		cleanup_free char *options = NULL;

		if (asprintf(&options,
			     "ro,nosuid,nodev,noexec,default_permissions,subtype=urunc-viewfs,"
			     "fsname=%s%s",
			     escaped, others[i]) < 0)
			return view_fail(error, MSG_NO_MEMORY);
		fd = mount_with((char *)(uintptr_t)path, options, words);
	}
	if (fd >= 0)
		return fd;
	if (is_resource_error(fd))
		return view_fail(error, MSG_SYSTEM, path, strerror(-fd));
	return view_fail(error, MSG_NO_PRIVILEGE, path, *words ? words : strerror(-fd));
}

int fusermount_detach(const char *path)
{
	char *argv[] = {(char[]){PROGRAM}, (char[]){"-uz"}, (char[]){"--"}, (char *)(uintptr_t)path,
			NULL};
	char words[WORDS_SIZE];

	return fusermount_run(argv, -EBADF, words);
}
