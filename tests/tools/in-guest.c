/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest's shell cannot do:
 *
 * in-guest measure FILE
 *	writes the digest of a file with fs-verity
 * in-guest quota DEVICE KIB
 *	limits root's files on the filesystem of DEVICE; 0 removes the limit
 * in-guest bounded PROGRAM [ARGUMENT]...
 *	runs a program to which quotas apply
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fsverity.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/quota.h>
#include <unistd.h>

enum { DIGEST_MAX = 64 };

static int measure(const char *path)
{
	_Alignas(struct fsverity_digest) char room[sizeof(struct fsverity_digest) + DIGEST_MAX];
	struct fsverity_digest *digest = (void *)room;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	digest->digest_size = DIGEST_MAX;
	if (ioctl(fd, FS_IOC_MEASURE_VERITY, digest) < 0)
		return -errno;
	for (size_t i = 0; i < digest->digest_size; i++)
		printf("%02x", digest->digest[i]);
	putchar('\n');
	return 0;
}

static int limit(const char *device, const char *kib)
{
	struct dqblk limits = {.dqb_valid = QIF_BLIMITS};

	limits.dqb_bhardlimit = strtoull(kib, NULL, 10);
	return quotactl(QCMD(Q_SETQUOTA, USRQUOTA), device, 0, (caddr_t)&limits) < 0 ? -errno : 0;
}

static int bounded(char **command)
{
	if (prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0) < 0)
		return -errno;
	execv(*command, command);
	return -errno;
}

int main(int argc, char **argv)
{
	int r = -EINVAL;

	if (argc == 3 && strcmp(argv[1], "measure") == 0)
		r = measure(argv[2]);
	else if (argc == 4 && strcmp(argv[1], "quota") == 0)
		r = limit(argv[2], argv[3]);
	else if (argc > 2 && strcmp(argv[1], "bounded") == 0)
		r = bounded(argv + 2);
	if (r < 0)
		fprintf(stderr, "in-guest: %s\n", strerror(-r));
	return r < 0;
}
