/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key is 128 bits of a hash in two lanes, each made of xxHash64's round and last mix. Nobody who
 * writes an image chooses inode numbers and times: it is there to tell apart, not to withstand.
 */
#include "layerindex/index/identity.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

/* Linux 6.8; not in Debian 12's headers. */
#define MNT_ID_UNIQUE 0x4000U

/* Where they stand in an identity. */
enum { MOUNT_WORD = 1, CHANGE_WORD = 5 };

#define NEEDED (STATX_INO | STATX_BTIME | STATX_CTIME | MNT_ID_UNIQUE)

unsigned identity_mask(void)
{
	return STATX_TYPE | STATX_UID | NEEDED;
}

static uint64_t nanoseconds(const struct statx_timestamp *time)
{
	return (uint64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

int identity_of_directory(const struct statx *stx, struct identity *ret)
{
	if ((stx->stx_mask & NEEDED) != NEEDED)
		return -EOPNOTSUPP;
	*ret = (struct identity){{
		IDENTITY_DIRECTORY,
		stx->stx_mnt_id,
		makedev(stx->stx_dev_major, stx->stx_dev_minor),
		stx->stx_ino,
		nanoseconds(&stx->stx_btime),
		nanoseconds(&stx->stx_ctime),
	}};
	return 0;
}

bool identity_is_stable(const struct identity *identity, const struct timespec *now)
{
	struct statx_timestamp tick = {.tv_sec = now->tv_sec, .tv_nsec = (uint32_t)now->tv_nsec};

	return identity->words[CHANGE_WORD] < nanoseconds(&tick);
}

bool identity_is_same_directory(const struct identity *a, const struct identity *b)
{
	for (size_t i = 0; i < IDENTITY_WORDS; i++)
		if (i != MOUNT_WORD && a->words[i] != b->words[i])
			return false;
	return true;
}

static const uint64_t primes[] = {0x9e3779b185ebca87, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9};

static uint64_t rotate(uint64_t word, int bits)
{
	return word << bits | word >> (64 - bits);
}

static uint64_t avalanche(uint64_t word)
{
	word = (word ^ word >> 33) * primes[1];
	word = (word ^ word >> 29) * primes[2];
	return word ^ word >> 32;
}

static void add_word(struct chain_key *key, uint64_t word)
{
	key->words[0] = rotate(key->words[0] + word * primes[1], 31) * primes[0];
	key->words[1] = rotate((key->words[1] ^ word) * primes[2], 27) * primes[0] + primes[1];
}

static struct chain_key finished(const struct chain_key *key)
{
	return (struct chain_key){{
		avalanche(key->words[0] ^ rotate(key->words[1], 17)),
		avalanche(key->words[1] + rotate(key->words[0], 43)),
	}};
}

struct chain_key chain_key_start(const uint8_t boot[static 16], bool userxattr)
{
	struct chain_key key = {{primes[0], primes[2]}};
	uint64_t words[2];

	memcpy(words, boot, sizeof(words));
	add_word(&key, words[0]);
	add_word(&key, words[1]);
	add_word(&key, userxattr);
	return finished(&key);
}

struct chain_key chain_key_on(const struct identity *layer, const struct chain_key *below)
{
	struct chain_key key = *below;

	for (size_t i = 0; i < IDENTITY_WORDS; i++)
		add_word(&key, layer->words[i]);
	return finished(&key);
}

void chain_key_name(const struct chain_key *key, char ret[static CHAIN_KEY_NAME + 1])
{
	snprintf(ret, CHAIN_KEY_NAME + 1, "%016" PRIx64 "%016" PRIx64, key->words[0],
		 key->words[1]);
}
