/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The artifact store: boot artifacts of images that have no layer directories, by content, and what
 * is known of each image, by chain id: urunc-viewfs-store(5).
 *
 * It is a cache. All of it may be removed at any time, also while it is used: a reader then finds
 * nothing, and keeps what it has open. Any number of processes may use it at
 * once. Readers hold no locks. A writer that is killed leaves nothing wrong, and nothing that
 * li_store_evict() does not remove.
 *
 * Errors: 0 or -errno, outputs are written only on success. A store is used by one
 * thread at a time.
 */
#pragma once

#include <sys/stat.h>

#include "layerindex/store/store-facts.h"

struct li_store;

/*
 * Opens the store in the directory *path*, which is made with mode 0700 if *make* and it is
 * missing; its parent is not.
 * Returns: 0, with the store in *ret*, owned by the caller; -ENOENT: there is none; -EPERM: the
 *	directory, or one that the store keeps in it, is another user's, or others have any access
 *	to it; or what opening it failed with.
 */
int li_store_open(const char *path, bool make, struct li_store **ret);

/* NULL is allowed. */
void li_store_close(struct li_store *store);

/* The same for cleanup_with(). */
static inline void li_store_done(struct li_store **store)
{
	li_store_close(*store);
}
DEFINE_CLEANUP(struct li_store *, li_store_done)

/* --- Reading --- */

/*
 * Reads what is known of an image: one open, one read. The time of the last use is noted at most
 * once an hour.
 * Returns: 0, with *ret*, owned by the caller (li_store_facts_done()); -ENOENT: nothing; -EINVAL or
 *	-EPROTO: what is there is damaged, or of another version: a miss, and the next
 *	li_store_add() replaces it; or what reading it failed with.
 */
int li_store_find(const struct li_store *store, const struct li_store_key *key,
		  struct li_store_facts *ret);

/*
 * Opens an artifact's bytes and checks that they are those that were filed: owner, mode, size,
 * inode and time of the last modification. Nothing is hashed.
 * Returns: a descriptor (O_RDONLY, close-on-exec, owned by the caller); -ENOENT: it was evicted;
 *	-ESTALE: it is another file, or was changed; both are a miss, and the next li_store_add()
 *	replaces it; -EINVAL: the answer is not an artifact; or what opening it failed with.
 */
int li_store_object_open(const struct li_store *store, const struct li_store_answer *answer);

/* --- Filling --- */

/*
 * Takes the lock that the one writer of an image holds, from before it looks what is missing until
 * after li_store_add(). A waiter looks again when it has the lock: the one before it may have done
 * the work. The lock ends with its descriptor, and so with the process.
 * *deadline* is of CLOCK_MONOTONIC; NULL: wait as long as it takes.
 * Returns: a descriptor (owned by the caller; closing it releases the lock); -ETIMEDOUT; -EROFS or
 *	-ENOENT: the store cannot be written in, or was removed; or what locking failed with.
 */
int li_store_lock(const struct li_store *store, const struct li_store_key *key,
		  const struct timespec *deadline);

enum { LI_STORE_SLOTS = 2 }; /* processes that may unpack images at a time */

/*
 * Takes one of the slots of those that unpack images: it takes the processor for long. The slot
 * ends with the descriptor. Returns: as li_store_lock(), which must be called before.
 */
int li_store_lock_slot(const struct li_store *store, const struct timespec *deadline);

/*
 * The name log of a layer, by its diff id: a file whose content is the caller's business.
 * Returns: a descriptor (O_RDONLY, owned by the caller); -ENOENT; or -errno.
 */
int li_store_layer_open(const struct li_store *store, const struct li_digest *diff_id);

/*
 * Files a log, in place of another one. *fd* is a file without a name (O_TMPFILE) in the store.
 * Returns: 0 or -errno.
 */
int li_store_layer_add(const struct li_store *store, const struct li_digest *diff_id, int fd);

/* Removes a log that is damaged. */
void li_store_layer_forget(const struct li_store *store, const struct li_digest *diff_id);

/* Takes the lock that the one process holds which reads a layer. Returns: as li_store_lock(). */
int li_store_layer_lock(const struct li_store *store, const struct li_digest *diff_id,
			const struct timespec *deadline);

enum {
	LI_STORE_FAILURE_TEXT = 1000, /* bytes with the NUL */
	LI_STORE_FAILURE_SECONDS = 600,
};

/* Why an image could not be added. */
struct li_store_failure {
	uint32_t code; /* the caller's */
	char text[LI_STORE_FAILURE_TEXT];
};

/*
 * Remembers for ten minutes that the image of a manifest cannot be added, and why.
 * Returns: 0; -ENOSPC: no room, or too many are remembered; or -errno.
 */
int li_store_failure_add(const struct li_store *store, const struct li_digest *manifest,
			 const struct li_store_failure *failure);

/* Returns: 0, with *ret*; -ENOENT: none is remembered; -EINVAL: it is damaged; or -errno. */
int li_store_failure_find(const struct li_store *store, const struct li_digest *manifest,
			  struct li_store_failure *ret);

/* How much a store may hold. */
struct li_store_limits {
	uint64_t bytes; /* of all files, as they take room on the disk; UINT64_MAX: no limit */
	int64_t age;	/* in seconds since the last use; INT64_MAX: no limit */
};

#define LI_STORE_UNLIMITED ((struct li_store_limits){UINT64_MAX, INT64_MAX})

/* An answer to file. Of an artifact the caller sets path, kind, mode, uid, gid and modified. */
struct li_store_addition {
	struct li_store_answer answer;
	int fd; /* an artifact's bytes: a regular file, open for reading; borrowed; else -EBADF */
	/* The file itself becomes the object, without a copy: it is one without a name (O_TMPFILE)
	 * of the store's directory, and no process has it open for writing. */
	bool is_given;
	/* Of such a file the hash that its writer took; NULL: it is taken now. Borrowed. */
	const struct li_digest *digest;
};

/*
 * Is told how far li_store_add() is: *done* bytes of twice as many as the new artifacts have, each
 * of which is copied and then hashed, unless that was done before.
 */
struct li_store_progress {
	void (*tell)(uint64_t done, void *context);
	void *context;
};

/* Sets what an artifact's answer says of the file that it is in a tree. */
void li_store_answer_set(struct li_store_answer *answer, const struct stat *st);

/*
 * Copies artifacts into the store, and files the answers beside those that are filed already: a
 * path that has an answer whose object is there keeps it. *image* says the key, chain, source and
 * numbers of layers; its answers are not looked at. The copy is hashed, not the file that it is
 * made of. Needs the image's lock (li_store_lock()), whose descriptor is *lock*.
 *
 * Answers that are filed by manifest are filed by the chain as well, where it is given (all zeros:
 * unknown), and those of the chain by manifest. But if the source is a table of contents, nothing
 * is filed by chain, for any configuration may claim any chain; and what is filed of another source
 * replaces what a table of contents said.
 *
 * Room is made by evicting what was not used for longest: for *limits*, and so that a tenth of the
 * filesystem stays free. *progress* may be NULL.
 *
 * Returns: 0, with all answers of the image in *ret*, owned by the caller;
 *	-E2BIG: the image would have more than LI_STORE_PATHS_MAX answers;
 *	-EINVAL: a path or an answer breaks a rule of the format;
 *	-ESTALE: a file changed while it was copied;
 *	-EBADF: *lock* is no descriptor;
 *	-EAGAIN: another process removes files, and is slow;
 *	-ENOSPC: no room, or more than the limits allow; -EDQUOT, -EROFS, -EIO and what else the
 *	filesystem fails with. Nothing is filed then.
 */
int li_store_add(const struct li_store *store, int lock, const struct li_store_facts *image,
		 const struct li_store_addition *additions, size_t n,
		 const struct li_store_limits *limits, const struct li_store_progress *progress,
		 struct li_store_facts *ret);

/* --- Keeping --- */

/* The files that were removed, or would be. */
struct li_store_evicted {
	size_t images, objects, layers, temporary; /* files */
	uint64_t bytes;				   /* that they took on the disk */
	uint64_t kept;				   /* that all that is left takes */
};

/*
 * Removes what is damaged, what writers that died left, objects that no image names, images that
 * were not used for longer than the limit, and then those not used for longest, until the limits
 * are met and a tenth of the filesystem is free. What any process has open stays, with its image:
 * one of which all objects are open, or one that no image of another chain names.
 * *dry*: removes nothing, and says what it would remove.
 * Returns: 0, with *ret*; -EAGAIN: another one removes, or files, just now; or -errno.
 */
int li_store_evict(const struct li_store *store, const struct li_store_limits *limits, bool dry,
		   struct li_store_evicted *ret);

enum li_store_state {
	LI_STORE_CURRENT,
	LI_STORE_DAMAGED,   /* content, owner or mode are not what they must be */
	LI_STORE_TEMPORARY, /* being written, or left by a writer that died */
};

/* A file of the store. */
struct li_store_entry {
	const char *name; /* below the store's directory */
	enum li_store_state state;
	bool is_object;
	uint64_t bytes;			    /* that it takes on the disk */
	struct timespec used;		    /* an image: last, within an hour */
	const struct li_store_facts *facts; /* an image's that is current; else NULL */
	bool in_use;			    /* an object: any process has it open */
};

typedef void li_store_visit(const struct li_store_entry *entry, void *context);

/*
 * Calls *visit* for each file, images first; what it is given is borrowed. An object's content is
 * not looked at. Returns: 0, or -errno.
 */
int li_store_each(const struct li_store *store, li_store_visit *visit, void *context);

/*
 * The same, and hashes each object: one that is not what its name says is LI_STORE_DAMAGED.
 * *repair* removes damaged files; a view that has one open keeps it.
 */
int li_store_verify(const struct li_store *store, bool repair, li_store_visit *visit,
		    void *context);

/* Removes every file, in use or not: views keep what they have open. Returns: 0, or an errno. */
int li_store_clear(const struct li_store *store);

/* The store's directory: for statfs(2); borrowed. */
int li_store_fd(const struct li_store *store);
