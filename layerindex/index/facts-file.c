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
#include <zstd.h>
#include <zstd_errors.h>

#include "layerindex/layerindex.h"

static const char magic[4] = {'U', 'V', 'F', 'X'};

enum {
	PREFIX_SIZE = 8,  /* magic, version, zero: not compressed */
	HEADER_SIZE = 80, /* key, identity, counts */
	RECORD_SIZE = 56, /* of a fact */
	PAYLOAD_MAX = HEADER_SIZE + FACTS_MAX * RECORD_SIZE + FACTS_STRINGS_MAX,
	LEVEL = 1, /* a few hundred bytes: more effort gains nothing */
};

_Static_assert(PAYLOAD_MAX + PAYLOAD_MAX / 128 + 1024 < FACTS_FILE_MAX,
	       "what can be encoded must be readable, compressible or not");

/* A place in a payload that has been checked to be long enough. */
struct cursor {
	uint8_t *at;
};

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

static uint32_t get32(struct cursor *cursor)
{
	uint32_t value;

	memcpy(&value, cursor->at, sizeof(value));
	cursor->at += sizeof(value);
	return le32toh(value);
}

static uint64_t get64(struct cursor *cursor)
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

static void get_chain(struct cursor *cursor, struct chain *ret)
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

static int get_fact(struct cursor *cursor, uint32_t layers, uint32_t strings, struct fact *ret)
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

/* Takes the payload apart; *n* is its size. */
static int parse(uint8_t *payload, size_t n, struct chain *ret_chain, struct facts *ret)
{
	struct cursor cursor = {payload};
	struct chain chain;
	uint32_t count, strings;

	if (n < HEADER_SIZE)
		return -EINVAL;
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

/* How large the only frame in there says that it will be; bounded. */
static int payload_size(const uint8_t *frame, size_t n, size_t *ret)
{
	unsigned long long size = ZSTD_getFrameContentSize(frame, n);

	if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR ||
	    size > PAYLOAD_MAX || ZSTD_findFrameCompressedSize(frame, n) != n)
		return -EINVAL;
	*ret = (size_t)size;
	return 0;
}

int facts_file_decode(const void *bytes, size_t n, struct chain *ret_chain, struct facts *ret)
{
	const uint8_t *file = bytes;
	cleanup_free uint8_t *payload = NULL;
	size_t size, r;

	if (n < PREFIX_SIZE || n > FACTS_FILE_MAX || memcmp(file, magic, sizeof(magic)) != 0)
		return -EINVAL;
	if (file[4] != FACTS_FILE_VERSION || file[5] != 0)
		return -EPROTO;
	if (file[6] != 0 || file[7] != 0 ||
	    payload_size(file + PREFIX_SIZE, n - PREFIX_SIZE, &size) < 0)
		return -EINVAL;
	payload = malloc(size + 1);
	if (!payload)
		return -ENOMEM;
	r = ZSTD_decompress(payload, size, file + PREFIX_SIZE, n - PREFIX_SIZE);
	if (ZSTD_isError(r))
		return ZSTD_getErrorCode(r) == ZSTD_error_memory_allocation ? -ENOMEM : -EINVAL;
	return r == size ? parse(payload, size, ret_chain, ret) : -EINVAL;
}

static size_t compress(void *to, size_t room, const void *from, size_t n)
{
	ZSTD_CCtx *context = ZSTD_createCCtx();
	size_t r = 0;

	if (!context)
		return 0;
	if (!ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, LEVEL)) &&
	    !ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)))
		r = ZSTD_compress2(context, to, room, from, n);
	ZSTD_freeCCtx(context);
	return ZSTD_isError(r) ? 0 : r;
}

int facts_file_encode(const struct chain *chain, const struct facts *facts, void **ret,
		      size_t *ret_size)
{
	size_t size = HEADER_SIZE + facts->count * RECORD_SIZE + facts->size;
	cleanup_free uint8_t *payload = malloc(size);
	size_t room = PREFIX_SIZE + ZSTD_compressBound(size);
	cleanup_free uint8_t *file = malloc(room);
	struct cursor cursor = {payload};
	size_t n;

	if (!payload || !file)
		return -ENOMEM;
	put_chain(&cursor, chain);
	put32(&cursor, (uint32_t)facts->count);
	put32(&cursor, (uint32_t)facts->size);
	for (size_t i = 0; i < facts->count; i++)
		put_fact(&cursor, &facts->items[i]);
	memcpy(cursor.at, facts->strings, facts->size);
	memcpy(file, magic, sizeof(magic));
	memcpy(file + sizeof(magic), (uint8_t[]){FACTS_FILE_VERSION, 0, 0, 0}, 4);
	n = compress(file + PREFIX_SIZE, room - PREFIX_SIZE, payload, size);
	if (n == 0)
		return -ENOMEM;
	*ret = TAKE_PTR(file);
	*ret_size = PREFIX_SIZE + n;
	return 0;
}
