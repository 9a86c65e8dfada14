/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything is little-endian and stands where this says, whatever the compiler would do with a
 * structure. What is read is checked once, here: later nothing in it is doubted but whether it is
 * still true.
 */
#include "layerindex/index/facts-file.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "layerindex/hash/siphash.h"
#include "layerindex/layerindex.h"

static const char magic[4] = {'U', 'V', 'F', 'X'};

enum {
	PREFIX_SIZE = 16, /* magic, version, zero, checksum */
	HEADER_SIZE = 80, /* key, identity, counts */
	KEY_SIZE = 16,	  /* of the header: what the checksum is keyed with */
	RECORD_SIZE = 56, /* of a fact */
};

_Static_assert(PREFIX_SIZE + HEADER_SIZE + FACTS_MAX * RECORD_SIZE + FACTS_STRINGS_MAX ==
		       FACTS_FILE_MAX,
	       "the largest file that can be encoded is the largest that is read");

/* A place in a payload that has been checked to be long enough. */
struct cursor {
	uint8_t *at;
};

/* The same of one that is only read. */
struct reader {
	const uint8_t *at;
};

static void put16(struct cursor *cursor, uint16_t value)
{
	value = htole16(value);
	memcpy(cursor->at, &value, sizeof(value));
	cursor->at += sizeof(value);
}

static void put32(struct cursor *cursor, uint32_t value)
{
	value = htole32(value);
	memcpy(cursor->at, &value, sizeof(value));
	cursor->at += sizeof(value);
}

static void put64(struct cursor *cursor, uint64_t value)
{
	value = htole64(value);
	memcpy(cursor->at, &value, sizeof(value));
	cursor->at += sizeof(value);
}

static uint16_t get16(struct reader *cursor)
{
	uint16_t value;

	memcpy(&value, cursor->at, sizeof(value));
	cursor->at += sizeof(value);
	return le16toh(value);
}

static uint32_t get32(struct reader *cursor)
{
	uint32_t value;

	memcpy(&value, cursor->at, sizeof(value));
	cursor->at += sizeof(value);
	return le32toh(value);
}

static uint64_t get64(struct reader *cursor)
{
	uint64_t value;

	memcpy(&value, cursor->at, sizeof(value));
	cursor->at += sizeof(value);
	return le64toh(value);
}

static void put_chain(struct cursor *cursor, const struct chain *chain)
{
	for (size_t i = 0; i < 2; i++)
		put64(cursor, chain->key.words[i]);
	for (size_t i = 0; i < IDENTITY_WORDS; i++)
		put64(cursor, chain->top.words[i]);
	put32(cursor, chain->layers);
	put32(cursor, chain->top_path);
}

static void get_chain(struct reader *cursor, struct chain *ret)
{
	for (size_t i = 0; i < 2; i++)
		ret->key.words[i] = get64(cursor);
	for (size_t i = 0; i < IDENTITY_WORDS; i++)
		ret->top.words[i] = get64(cursor);
	ret->layers = get32(cursor);
	ret->top_path = get32(cursor);
}

static void put_fact(struct cursor *cursor, const struct fact *fact)
{
	put32(cursor, fact->kind);
	put32(cursor, fact->path);
	put32(cursor, fact->layer);
	put32(cursor, 0);
	put64(cursor, fact->stamp.inode);
	put64(cursor, fact->stamp.size);
	put64(cursor, (uint64_t)fact->stamp.modified);
	put64(cursor, (uint64_t)fact->stamp.changed);
	put32(cursor, fact->stamp.modified_ns);
	put32(cursor, fact->stamp.changed_ns);
}

static int get_fact(struct reader *cursor, uint32_t layers, uint32_t strings, struct fact *ret)
{
	uint32_t kind = get32(cursor);
	uint32_t zero;

	ret->path = get32(cursor);
	ret->layer = get32(cursor);
	zero = get32(cursor);
	ret->stamp.inode = get64(cursor);
	ret->stamp.size = get64(cursor);
	ret->stamp.modified = (int64_t)get64(cursor);
	ret->stamp.changed = (int64_t)get64(cursor);
	ret->stamp.modified_ns = get32(cursor);
	ret->stamp.changed_ns = get32(cursor);
	if (kind > FACT_LEAF || ret->path >= strings || ret->layer >= layers || zero != 0)
		return -EINVAL;
	ret->kind = (enum fact_kind)kind;
	return 0;
}

/*
 * The checksum of a payload: of what follows the chain's key, keyed with that key. A key comes from
 * the boot's id, and so does the checksum.
 */
static uint64_t checksum(const uint8_t *payload, size_t n)
{
	struct siphash_key key = siphash_key_from(payload);

	return siphash64(&key, payload + KEY_SIZE, n - KEY_SIZE);
}

/* Parses the payload; *n* is its size. */
static int parse(const uint8_t *payload, size_t n, struct chain *ret_chain, struct facts *ret)
{
	struct reader cursor = {payload};
	struct chain chain;
	uint32_t count, strings;

	get_chain(&cursor, &chain);
	count = get32(&cursor);
	strings = get32(&cursor);
	/* The strings end in a NUL, so that each of them does. */
	if (chain.layers < 1 || chain.layers > LI_LAYERS_MAX || count > FACTS_MAX || strings < 1 ||
	    strings > FACTS_STRINGS_MAX || chain.top_path >= strings ||
	    n != HEADER_SIZE + (size_t)count * RECORD_SIZE + strings || payload[n - 1])
		return -EINVAL;
	for (uint32_t i = 0; i < count; i++)
		if (get_fact(&cursor, chain.layers, strings, &ret->items[i]) < 0)
			return -EINVAL;
	ret->strings = malloc(strings);
	if (!ret->strings)
		return -ENOMEM;
	memcpy(ret->strings, cursor.at, strings);
	ret->size = strings;
	ret->count = count;
	*ret_chain = chain;
	return 0;
}

int facts_file_decode(const void *bytes, size_t n, struct chain *ret_chain, struct facts *ret)
{
	struct reader cursor = {bytes};

	if (n < sizeof(magic) + 4 || n > FACTS_FILE_MAX || memcmp(bytes, magic, sizeof(magic)) != 0)
		return -EINVAL;
	cursor.at += sizeof(magic);
	if (get16(&cursor) != FACTS_FILE_VERSION)
		return -EPROTO;
	if (n < PREFIX_SIZE + HEADER_SIZE || get16(&cursor) != 0)
		return -EINVAL;
	n -= PREFIX_SIZE;
	if (get64(&cursor) != checksum(cursor.at, n))
		return -EINVAL;
	return parse(cursor.at, n, ret_chain, ret);
}

int facts_file_encode(const struct chain *chain, const struct facts *facts, void **ret,
		      size_t *ret_size)
{
	size_t size = HEADER_SIZE + facts->count * RECORD_SIZE + facts->size;
	cleanup_free uint8_t *file = malloc(PREFIX_SIZE + size);
	struct cursor cursor = {file}, prefix = {file};

	if (!file)
		return -ENOMEM;
	cursor.at += PREFIX_SIZE;
	put_chain(&cursor, chain);
	put32(&cursor, (uint32_t)facts->count);
	put32(&cursor, (uint32_t)facts->size);
	for (size_t i = 0; i < facts->count; i++)
		put_fact(&cursor, &facts->items[i]);
	memcpy(cursor.at, facts->strings, facts->size);
	memcpy(prefix.at, magic, sizeof(magic));
	prefix.at += sizeof(magic);
	put16(&prefix, FACTS_FILE_VERSION);
	put16(&prefix, 0);
	put64(&prefix, checksum(file + PREFIX_SIZE, size));
	*ret = TAKE_PTR(file);
	*ret_size = PREFIX_SIZE + size;
	return 0;
}
