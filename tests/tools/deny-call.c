/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deny-call ENOSYS|EPERM|NOTHING CALL PROGRAM [ARGUMENT]...
 *
 * Runs a program in which a system call fails as on a kernel that is too old for it (ENOSYS), or as
 * under a seccomp filter that does not know it (EPERM), or does nothing and succeeds (NOTHING).
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

/* Returns: -1 for a word that is not here. */
static int error_number(const char *name)
{
	if (strcmp(name, "NOTHING") == 0)
		return 0;
	return strcmp(name, "ENOSYS") == 0 ? ENOSYS : strcmp(name, "EPERM") == 0 ? EPERM : -1;
}

/* Returns: -1 for a call that is not here. */
static int call_number(const char *name)
{
	static const struct {
		const char *name;
		int nr;
	} calls[] = {
		{"openat2", SYS_openat2},
		{"close_range", SYS_close_range},
		{"fdatasync", SYS_fdatasync},
		{"landlock_create_ruleset", SYS_landlock_create_ruleset},
		{"seccomp", SYS_seccomp},
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (strcmp(name, calls[i].name) == 0)
			return calls[i].nr;
	return -1;
}

int main(int argc, char **argv)
{
	int error = argc < 4 ? -1 : error_number(argv[1]);
	int nr = error >= 0 ? call_number(argv[2]) : -1;
	int r;

	if (nr < 0) {
		fputs("usage: deny-call ENOSYS|EPERM|NOTHING CALL PROGRAM [ARGUMENT]...\n", stderr);
		return 1;
	}
	r = deny(nr, (unsigned)error);
	if (r < 0) {
		fprintf(stderr, "deny-call: seccomp: %s\n", strerror(-r));
		return 1;
	}
	execvp(argv[3], argv + 3);
	fprintf(stderr, "deny-call: '%s': %s\n", argv[3], strerror(errno));
	return 1;
}
