/* SPDX-License-Identifier: Apache-2.0 */
/* Common to the store's modules: its directories and their files, locks and names. */
#pragma once

#include <fcntl.h>

#include "layerindex/file/new-file.h"
#include "layerindex/store/store.h"

struct li_store {
	int fd;
	int lists[2];	 /* chains and images, by enum li_store_by; negative: not there */
	int objects;	 /* likewise */
	bool no_tmpfile; /* the filesystem does not know O_TMPFILE, or a test says so */
};

enum {
	STORE_READ = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
	OBJECT_NAME = 3 + SHA256_DIGITS, /* "ab/HEX" below objects */
};

/* Whether a file or directory belongs to this user, and its mode has no bit beyond *mode*. */
bool store_is_ours(const struct stat *st, mode_t type, mode_t mode);

/*
 * Opens a directory of the store's, and makes it first if *make*.
 * Returns: a descriptor, owned; -EPERM: it is not ours alone; or -errno.
 */
int store_directory(int at, const char *name, bool make);

/* An object's name below objects. */
void store_object_name(const struct li_digest *digest, char ret[static OBJECT_NAME + 1]);

bool store_name_is_digest(const char *name);

/* Opens a regular file of the store's; *st* is what it is; -ESTALE: it is not ours alone. */
int store_file_open(int at, const char *name, struct stat *st);

/* The same for an object, by its digest. */
int store_object_file(const struct li_store *store, const struct li_digest *digest,
		      struct stat *st);

/* Opens and parses facts, whatever key they are filed under; *st* is the file's. */
int store_facts_read(int list, const char *name, struct li_store_facts *ret, struct stat *st);

/* Opens the directory of name logs. Returns: a descriptor, owned; or -errno. */
int store_layers_open(const struct li_store *store, bool make);

/* Notes that a file whose age counts is used now, at most once an hour. */
void store_note_use(int list, const char *name, const struct stat *st);

/* Opens the directory of failures. Returns: a descriptor, owned; or -errno. */
int store_failed_open(const struct li_store *store, bool make);

/* Parses a failure's file, which may hold any bytes. Returns: 0 or -EINVAL. */
int store_failure_decode(const void *bytes, size_t n, struct li_store_failure *ret);

/* Whether a failure is remembered for too long. */
bool store_failure_is_over(int at, const char *name);

enum { OBJECT_MODE = 0400, FACTS_MODE = 0600 };

/* The time of an object's last modification: any write(2) to it gives it another one. */
extern const struct timespec store_object_time;

/*
 * The lock of all writers: shared from the first object that is linked until the facts name it,
 * exclusive while files are removed.
 * Returns: a descriptor, owned; -EAGAIN: another process has it, and gave no way for a second.
 */
int store_lock_all(const struct li_store *store, bool exclusive);

/*
 * Takes the lock of a facts file as well, for as long as *lock* is open, the descriptor of
 * store_lock_all(): its writer reads, completes and replaces it. A writer of two files must take
 * the chain's lock first.
 * Returns: 0; -EAGAIN: another process has it, and gave no way for a second; or -errno.
 */
int store_lock_facts(int lock, const struct li_store_key *key);

/* Whether any process has the object open; *fd* is this one's own only descriptor of it. */
bool store_is_in_use(int fd);

/* A file that has no name yet, or a temporary one. */
struct store_new {
	int fd;
	int at; /* the directory of the temporary name; borrowed */
	char name[NEW_FILE_NAME + 1];
};

#define STORE_NEW_INIT ((struct store_new){.fd = -EBADF})

int store_new_open(const struct li_store *store, int at, struct store_new *ret);
void store_new_done(struct store_new *file);
DEFINE_CLEANUP(struct store_new, store_new_done)

/*
 * Whether each object that the facts name is there, as they say.
 * Returns: 1; 0; or what opening an object failed with that may be as they say.
 */
int store_has_objects(const struct li_store *store, const struct li_store_facts *facts);

/* A copy of an artifact that has no name yet. */
struct store_copy {
	struct store_new file;
	struct li_digest digest;
	uint64_t size;
};

/* Hashes a file. Returns: 0, or what reading it failed with. */
int store_hash(int fd, struct li_digest *ret);

/* How far a filling is. */
struct store_meter {
	const struct li_store_progress *progress; /* NULL: nothing is told */
	uint64_t done;
};

/*
 * Copies the addition's file, or takes it as it is where it is given, and hashes it, up to the
 * disk; adds what was done to *meter*. Returns: 0, or see li_store_add().
 */
int store_copy_make(const struct li_store *store, const struct li_store_addition *addition,
		    struct store_meter *meter, struct store_copy *ret);

/* Links a copy under its digest, if there is no such object; *ret* says which file it is then. */
int store_copy_publish(const struct li_store *store, const struct store_copy *copy,
		       struct li_store_stamp *ret);

/*
 * Calls *visit* for each name in a directory; what it returns other than 0 ends that, and is
 * returned. Names may be removed meanwhile.
 */
int store_each_name(int directory, int (*visit)(const char *name, void *context), void *context);

/* The same for each file below objects: *directory* and *name* are where it is. */
typedef int store_object_visit(int directory, const char *name, void *context);
int store_each_object(const struct li_store *store, store_object_visit *visit, void *context);

/*
 * Makes room for *need* bytes more.
 * Returns: 0; -ENOSPC: there is no such room, even so; or -errno.
 */
int store_make_room(const struct li_store *store, const struct li_store_limits *limits,
		    uint64_t need);
