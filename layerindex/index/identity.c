/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key is SipHash-2-4 with 128 bits of output, keyed with the boot's id for what lies below the
 * bottom layer, and with the key of the layers below for each layer. The boot's id is no secret: it
 * keeps two boots apart. What keeps an entry from being made up is the index's directory, which
 * only its owner may write.
 */
#include "layerindex/index/identity.h"

#include <endian.h>
#include <errno.h>
#include <sys/sysmacros.h>

#include "layerindex/hash/siphash.h"

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

struct chain_key chain_key_start(const uint8_t boot[static 16], bool userxattr)
{
	struct siphash_key key = siphash_key_from(boot);
	struct chain_key ret;

	siphash128(&key, (uint8_t[]){userxattr}, 1, ret.words);
	return ret;
}

struct chain_key chain_key_on(const struct identity *layer, const struct chain_key *below)
{
	struct siphash_key key = {{below->words[0], below->words[1]}};
	uint64_t words[IDENTITY_WORDS];
	struct chain_key ret = {};

	for (size_t i = 0; i < IDENTITY_WORDS; i++)
		words[i] = htole64(layer->words[i]);
	siphash128(&key, words, sizeof(words), ret.words);
	return ret;
}

void chain_key_name(const struct chain_key *key, char ret[static CHAIN_KEY_NAME + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < CHAIN_KEY_NAME; i++)
		ret[i] = digits[key->words[i / 16] >> (60 - i % 16 * 4) & 15];
	ret[CHAIN_KEY_NAME] = '\0';
}
