/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything is little-endian and stands where this says, whatever the compiler would do with a
 * structure. What is read is checked once, here: later nothing in it is doubted but whether it is
 * still true.
 */
#include "layerindex/index/facts-file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "layerindex/file/little-endian.h"
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

static void put_chain(struct le_writer *writer, const struct chain *chain)
{
	for (size_t i = 0; i < 2; i++)
		le_put64(writer, chain->key.words[i]);
	for (size_t i = 0; i < IDENTITY_WORDS; i++)
		le_put64(writer, chain->top.words[i]);
	le_put32(writer, chain->layers);
	le_put32(writer, chain->top_path);
}

static void get_chain(struct le_reader *reader, struct chain *ret)
{
	for (size_t i = 0; i < 2; i++)
		ret->key.words[i] = le_get64(reader);
	for (size_t i = 0; i < IDENTITY_WORDS; i++)
		ret->top.words[i] = le_get64(reader);
	ret->layers = le_get32(reader);
	ret->top_path = le_get32(reader);
}

static void put_fact(struct le_writer *writer, const struct fact *fact)
{
	le_put32(writer, fact->kind);
	le_put32(writer, fact->path);
	le_put32(writer, fact->layer);
	le_put32(writer, 0);
	le_put64(writer, fact->stamp.inode);
	le_put64(writer, fact->stamp.size);
	le_put64(writer, (uint64_t)fact->stamp.modified);
	le_put64(writer, (uint64_t)fact->stamp.changed);
	le_put32(writer, fact->stamp.modified_ns);
	le_put32(writer, fact->stamp.changed_ns);
}

static int get_fact(struct le_reader *reader, uint32_t layers, uint32_t strings, struct fact *ret)
{
	uint32_t kind = le_get32(reader);
	uint32_t zero;

	ret->path = le_get32(reader);
	ret->layer = le_get32(reader);
	zero = le_get32(reader);
	ret->stamp.inode = le_get64(reader);
	ret->stamp.size = le_get64(reader);
	ret->stamp.modified = (int64_t)le_get64(reader);
	ret->stamp.changed = (int64_t)le_get64(reader);
	ret->stamp.modified_ns = le_get32(reader);
	ret->stamp.changed_ns = le_get32(reader);
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
	struct le_reader reader = {payload};
	struct chain chain;
	uint32_t count, strings;

	get_chain(&reader, &chain);
	count = le_get32(&reader);
	strings = le_get32(&reader);
	/* The strings end in a NUL, so that each of them does. */
	if (chain.layers < 1 || chain.layers > LI_LAYERS_MAX || count > FACTS_MAX || strings < 1 ||
	    strings > FACTS_STRINGS_MAX || chain.top_path >= strings ||
	    n != HEADER_SIZE + (size_t)count * RECORD_SIZE + strings || payload[n - 1])
		return -EINVAL;
	for (uint32_t i = 0; i < count; i++)
		if (get_fact(&reader, chain.layers, strings, &ret->items[i]) < 0)
			return -EINVAL;
	ret->strings = malloc(strings);
	if (!ret->strings)
		return -ENOMEM;
	memcpy(ret->strings, reader.at, strings);
	ret->size = strings;
	ret->count = count;
	*ret_chain = chain;
	return 0;
}

int facts_file_decode(const void *bytes, size_t n, struct chain *ret_chain, struct facts *ret)
{
	struct le_reader reader = {bytes};

	if (n < sizeof(magic) + 4 || n > FACTS_FILE_MAX || memcmp(bytes, magic, sizeof(magic)) != 0)
		return -EINVAL;
	reader.at += sizeof(magic);
	if (le_get16(&reader) != FACTS_FILE_VERSION)
		return -EPROTO;
	if (n < PREFIX_SIZE + HEADER_SIZE || le_get16(&reader) != 0)
		return -EINVAL;
	n -= PREFIX_SIZE;
	if (le_get64(&reader) != checksum(reader.at, n))
		return -EINVAL;
	return parse(reader.at, n, ret_chain, ret);
}

int facts_file_encode(const struct chain *chain, const struct facts *facts, void **ret,
		      size_t *ret_size)
{
	size_t size = HEADER_SIZE + facts->count * RECORD_SIZE + facts->size;
	cleanup_free uint8_t *file = malloc(PREFIX_SIZE + size);
	struct le_writer writer = {file}, prefix = {file};

	if (!file)
		return -ENOMEM;
	writer.at += PREFIX_SIZE;
	put_chain(&writer, chain);
	le_put32(&writer, (uint32_t)facts->count);
	le_put32(&writer, (uint32_t)facts->size);
	for (size_t i = 0; i < facts->count; i++)
		put_fact(&writer, &facts->items[i]);
	memcpy(writer.at, facts->strings, facts->size);
	le_put(&prefix, magic, sizeof(magic));
	le_put16(&prefix, FACTS_FILE_VERSION);
	le_put16(&prefix, 0);
	le_put64(&prefix, checksum(file + PREFIX_SIZE, size));
	*ret = TAKE_PTR(file);
	*ret_size = PREFIX_SIZE + size;
	return 0;
}
