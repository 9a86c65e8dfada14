/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a tar archive as containerd does: by the rules of Go's archive/tar, in whose terms its
 * applier works. What that package refuses is refused here.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

enum {
	/* Bytes of one extended header or long name: Go's maxSpecialFileSize. */
	TAR_SPECIAL_MAX = 1 << 20,
};

struct tar;

/* One file of an archive. Its texts belong to the reader, until the next call of tar_next(). */
struct tar_entry {
	const char *name; /* as it is written, may be empty; never NULL */
	const char *link; /* a hard or symbolic link's target, may be empty; never NULL */
	char type;	  /* '0' to '6': as ustar has them; 'g'; or one that means nothing here */
	int64_t size;	  /* bytes of content, holes included */
	int64_t mode, uid, gid;
	struct timespec mtime;
};

/*
 * Where the archive's bytes come from: reads at most *n* of them. It may read fewer.
 * Returns: how many; 0 at their end; or -errno.
 */
typedef ssize_t (*tar_source)(void *from, void *buffer, size_t n);

/* Returns: a reader, owned by the caller; or NULL without memory. */
struct tar *tar_new(tar_source source, void *from);

/* Releases a reader; NULL is ignored. */
void tar_free(struct tar *tar);

/*
 * Goes to the next file; content of the one before that was not read is skipped. A file of type '0'
 * has content; no other has.
 * Returns: 1, with the file in *ret; 0 at the archive's end, behind which the source may have more;
 *	-EBADMSG: the archive is cut or breaks a rule; -E2BIG: it exceeds a limit from above;
 *	-ENOMEM; or what the source returned.
 */
int tar_next(struct tar *tar, struct tar_entry *ret);

/*
 * Reads the next bytes of the file's content; a hole reads as zeros.
 * Returns: how many, at most *n*; 0 at the content's end; or -errno as tar_next().
 */
ssize_t tar_read(struct tar *tar, void *buffer, size_t n);
