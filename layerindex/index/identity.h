/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which layer it is, and which layers lie below it: what facts about layers are filed under. An
 * identity must never be that of other content; that it is another one for the same content costs
 * no more than a miss.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

/* The first word says what the others are. */
enum identity_kind {
	IDENTITY_DIRECTORY = 1, /* of a mounted filesystem */
	/* A compressed blob will be known by its digest, which four words hold. */
};

enum { IDENTITY_WORDS = 6 };

struct identity {
	uint64_t words[IDENTITY_WORDS];
};

/* The fields that statx(2) must be asked for. */
unsigned identity_mask(void);

/*
 * Of a directory: the mount, device, inode, birth and change. A mount's unique id (Linux 6.8) is
 * given once in the time between two boots: a filesystem that was unmounted and is back is another
 * one, whatever was done to it meanwhile. The change of the directory itself tells one from another
 * that got its inode, and from itself with other names in it; see identity_is_stable().
 * Returns: 0, or -EOPNOTSUPP: the kernel or the filesystem does not tell all of it.
 */
int identity_of_directory(const struct statx *stx, struct identity *ret);

/*
 * Whether any change from now on gives the directory another identity: it changed last in a tick of
 * the clock before that of *now*, which is CLOCK_REALTIME_COARSE from before it was looked at.
 * Changes in one tick have one time (before Linux 6.13 all of them).
 */
bool identity_is_stable(const struct identity *identity, const struct timespec *now);

/* Whether both are identities of one directory, seen through any mounts. */
bool identity_is_same_directory(const struct identity *a, const struct identity *b);

/* The key of a layer and all layers below it. */
struct chain_key {
	uint64_t words[2];
};

enum { CHAIN_KEY_NAME = 32 }; /* hexadecimal digits of a key's name */

/* Below the bottom layer: nothing, as seen in one *boot* (16 bytes) by marks of one kind. */
struct chain_key chain_key_start(const uint8_t boot[static 16], bool userxattr);

/* The key of a layer above the layers of *below*. */
struct chain_key chain_key_on(const struct identity *layer, const struct chain_key *below);

void chain_key_name(const struct chain_key *key, char ret[static CHAIN_KEY_NAME + 1]);
