/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deny-openat2 ENOSYS|EPERM PROGRAM [ARGUMENT]...
 *
 * Runs a program in which openat2(2) fails as on a kernel before Linux 5.6 (ENOSYS), or as under a
 * seccomp filter that does not know it (EPERM).
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Nothing is guarded by this: the number alone decides, whatever the architecture. */
static int deny(int nr, unsigned error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {
		.len = sizeof(filter) / sizeof(*filter),
		.filter = filter,
	};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		return -errno;
	return 0;
}

static int error_number(const char *name)
{
	return strcmp(name, "ENOSYS") == 0 ? ENOSYS : strcmp(name, "EPERM") == 0 ? EPERM : 0;
}

int main(int argc, char **argv)
{
	int error = argc < 3 ? 0 : error_number(argv[1]);
	int r;

	if (!error) {
		fputs("usage: deny-openat2 ENOSYS|EPERM PROGRAM [ARGUMENT]...\n", stderr);
		return 1;
	}
	r = deny(SYS_openat2, (unsigned)error);
	if (r < 0) {
		fprintf(stderr, "deny-openat2: seccomp: %s\n", strerror(-r));
		return 1;
	}
	execv(argv[2], argv + 2);
	fprintf(stderr, "deny-openat2: '%s': %s\n", argv[2], strerror(errno));
	return 1;
}
