/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything is little-endian and stands where urunc-viewfs-store(5) says. One file has one meaning
 * and one meaning one file: what is not used must be zero, and paths stand in the answers' order.
 */
#include "layerindex/store/store-facts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "layerindex/file/little-endian.h"
#include "layerindex/hash/siphash.h"
#include "layerindex/layerindex.h"

static const char magic[4] = {'U', 'V', 'S', 'T'};

enum {
	HEADER_SIZE = 88,
	RECORD_SIZE = 100,
	CHECKSUM_SIZE = 8,
	REASON_MAX = 4095, /* MAX_ERRNO, include/linux/err.h */
	ORIGIN_PREFIX = sizeof("sha256:") - 1 + SHA256_DIGITS,
	STRINGS_MAX = LI_PATH_MAX + 1 + ORIGIN_PREFIX + LI_PATH_MAX + 1, /* of an answer */
};

_Static_assert(HEADER_SIZE + LI_STORE_PATHS_MAX * (RECORD_SIZE + STRINGS_MAX) + CHECKSUM_SIZE <=
		       STORE_FACTS_FILE_MAX,
	       "what can be encoded must be readable");

/* Against damage, not against an attacker: only the store's owner can write in it. */
static uint64_t checksum(const void *bytes, size_t n)
{
	return siphash64(&(struct siphash_key){}, bytes, n);
}

void li_store_facts_done(struct li_store_facts *facts)
{
	free(facts->strings);
	*facts = (struct li_store_facts){};
}

const struct li_store_answer *li_store_facts_find(const struct li_store_facts *facts,
						  const char *path)
{
	for (size_t i = 0; i < facts->count; i++)
		if (strcmp(facts->answers[i].path, path) == 0)
			return &facts->answers[i];
	return NULL;
}

static bool component_is_sound(const char *name, size_t n)
{
	return n > 0 && n <= LI_NAME_MAX && !(n == 1 && name[0] == '.') &&
	       !(n == 2 && name[0] == '.' && name[1] == '.');
}

bool store_path_is_sound(const char *path)
{
	if (strlen(path) > LI_PATH_MAX || *path != '/')
		return false;
	while (*path == '/') {
		size_t n = strcspn(++path, "/");

		if (!component_is_sound(path, n))
			return false;
		path += n;
	}
	return true;
}

static bool origin_is_sound(const char *origin)
{
	char digits[SHA256_DIGITS + 1] = "";
	struct li_digest ignored;

	if (strncmp(origin, "sha256:", strlen("sha256:")) != 0 || strlen(origin) < ORIGIN_PREFIX)
		return false;
	memcpy(digits, origin + strlen("sha256:"), SHA256_DIGITS);
	return li_digest_parse(digits, &ignored) == 0 &&
	       store_path_is_sound(origin + ORIGIN_PREFIX);
}

static const char *origin_of(const struct li_store_answer *answer)
{
	return answer->origin ? answer->origin : "";
}

static bool nanoseconds_are_sound(const struct timespec *time)
{
	return time->tv_nsec >= 0 && time->tv_nsec < 1000000000;
}

/* Whether nothing is said of an artifact. */
static bool is_bare(const struct li_store_answer *answer)
{
	static const struct li_digest none;

	return answer->mode == 0 && answer->uid == 0 && answer->gid == 0 &&
	       answer->modified.tv_sec == 0 && answer->modified.tv_nsec == 0 && answer->size == 0 &&
	       li_digest_equal(&answer->digest, &none) && answer->object.inode == 0 &&
	       answer->object.modified.tv_sec == 0 && answer->object.modified.tv_nsec == 0 &&
	       !*origin_of(answer);
}

static bool answer_is_sound(const struct li_store_answer *answer)
{
	if (!answer->path || !store_path_is_sound(answer->path))
		return false;
	switch (answer->kind) {
	case LI_STORE_ABSENT: return answer->reason == 0 && is_bare(answer);
	case LI_STORE_OTHER:
		return answer->reason > 0 && answer->reason <= REASON_MAX && is_bare(answer);
	case LI_STORE_ARTIFACT:
		return answer->reason == 0 && answer->mode <= 07777 && answer->size <= INT64_MAX &&
		       nanoseconds_are_sound(&answer->modified) &&
		       nanoseconds_are_sound(&answer->object.modified) &&
		       (!*origin_of(answer) || origin_is_sound(answer->origin));
	default: return false;
	}
}

static bool facts_are_sound(const struct li_store_facts *facts)
{
	if (facts->key.by > LI_STORE_MANIFEST || facts->source > LI_STORE_TOC ||
	    facts->layers > LI_LAYERS_MAX || facts->diff_ids > LI_LAYERS_MAX ||
	    facts->count > LI_STORE_PATHS_MAX)
		return false;
	if (facts->source == LI_STORE_TOC && facts->key.by == LI_STORE_CHAIN)
		return false;
	if (facts->key.by == LI_STORE_CHAIN && !li_digest_equal(&facts->key.id, &facts->chain))
		return false;
	if (facts->layers > 0 && facts->diff_ids > 0 && facts->layers != facts->diff_ids)
		return false;
	for (size_t i = 0; i < facts->count; i++) {
		const struct li_store_answer *answer = &facts->answers[i];

		if (!answer_is_sound(answer) || li_store_facts_find(facts, answer->path) != answer)
			return false;
	}
	return true;
}

static void put_time(struct le_writer *writer, const struct timespec *time)
{
	le_put64(writer, (uint64_t)time->tv_sec);
	le_put32(writer, (uint32_t)time->tv_nsec);
}

static void put_answer(struct le_writer *writer, const struct li_store_answer *answer)
{
	le_put32(writer, answer->kind);
	le_put32(writer, (uint32_t)strlen(answer->path));
	le_put32(writer, answer->mode);
	le_put32(writer, answer->uid);
	le_put32(writer, answer->gid);
	le_put32(writer, (uint32_t)answer->reason);
	le_put64(writer, answer->size);
	le_put(writer, answer->digest.bytes, sizeof(answer->digest.bytes));
	le_put64(writer, answer->object.inode);
	put_time(writer, &answer->modified);
	put_time(writer, &answer->object.modified);
	le_put32(writer, (uint32_t)strlen(origin_of(answer)));
}

static struct timespec get_time(struct le_reader *reader)
{
	struct timespec time;

	time.tv_sec = (time_t)le_get64(reader);
	time.tv_nsec = (long)le_get32(reader);
	return time;
}

/* The bytes of an answer's strings. */
struct lengths {
	uint32_t path, origin;
};

static struct lengths get_answer(struct le_reader *reader, struct li_store_answer *ret)
{
	struct lengths lengths;

	ret->kind = (enum li_store_kind)le_get32(reader);
	lengths.path = le_get32(reader);
	ret->mode = le_get32(reader);
	ret->uid = le_get32(reader);
	ret->gid = le_get32(reader);
	ret->reason = (int)le_get32(reader);
	ret->size = le_get64(reader);
	le_get(reader, ret->digest.bytes, sizeof(ret->digest.bytes));
	ret->object.inode = le_get64(reader);
	ret->modified = get_time(reader);
	ret->object.modified = get_time(reader);
	lengths.origin = le_get32(reader);
	return lengths;
}

/* Strings that stand one after another, each with a NUL. */
struct strings {
	const char *at;
	size_t left;
};

/* Returns: the next one, which must have *length* bytes; NULL: it has not. */
static const char *next_string(struct strings *strings, size_t length)
{
	const char *string = strings->at;

	if (length >= strings->left || string[length] || strlen(string) != length)
		return NULL;
	strings->at += length + 1;
	strings->left -= length + 1;
	return string;
}

/* Gives each answer its path and its origin. */
static int set_strings(struct li_store_facts *facts, const struct lengths *lengths, size_t size)
{
	struct strings strings = {facts->strings, size};

	for (size_t i = 0; i < facts->count; i++) {
		facts->answers[i].path = next_string(&strings, lengths[i].path);
		if (!facts->answers[i].path)
			return -EINVAL;
		facts->answers[i].origin = next_string(&strings, lengths[i].origin);
		if (!facts->answers[i].origin)
			return -EINVAL;
	}
	return strings.left == 0 ? 0 : -EINVAL;
}

static int parse(const uint8_t *file, size_t n, struct li_store_facts *facts)
{
	struct le_reader reader = {file + 8};
	struct lengths lengths[LI_STORE_PATHS_MAX];
	size_t strings;

	facts->key.by = (enum li_store_by)file[6];
	facts->source = (enum li_store_source)file[7];
	le_get(&reader, facts->key.id.bytes, sizeof(facts->key.id.bytes));
	le_get(&reader, facts->chain.bytes, sizeof(facts->chain.bytes));
	facts->layers = le_get32(&reader);
	facts->diff_ids = le_get32(&reader);
	facts->count = le_get32(&reader);
	strings = le_get32(&reader);
	if (facts->count > LI_STORE_PATHS_MAX ||
	    n != HEADER_SIZE + facts->count * RECORD_SIZE + strings + CHECKSUM_SIZE)
		return -EINVAL;
	for (size_t i = 0; i < facts->count; i++)
		lengths[i] = get_answer(&reader, &facts->answers[i]);
	facts->strings = malloc(strings + 1);
	if (!facts->strings)
		return -ENOMEM;
	memcpy(facts->strings, reader.at, strings);
	if (set_strings(facts, lengths, strings) < 0)
		return -EINVAL;
	return facts_are_sound(facts) ? 0 : -EINVAL;
}

int store_facts_decode(const void *bytes, size_t n, struct li_store_facts *ret)
{
	cleanup_with(li_store_facts_done) struct li_store_facts facts = {};
	const uint8_t *file = bytes;
	int r;

	if (n < HEADER_SIZE + CHECKSUM_SIZE || n > STORE_FACTS_FILE_MAX ||
	    memcmp(bytes, magic, sizeof(magic)) != 0)
		return -EINVAL;
	if (file[4] != STORE_FACTS_VERSION || file[5] != 0)
		return -EPROTO;
	if (le_get64(&(struct le_reader){file + n - CHECKSUM_SIZE}) !=
	    checksum(file, n - CHECKSUM_SIZE))
		return -EINVAL;
	r = parse(file, n, &facts);
	if (r < 0)
		return r;
	*ret = TAKE(facts, (struct li_store_facts){});
	return 0;
}

int store_facts_encode(const struct li_store_facts *facts, void **ret, size_t *ret_size)
{
	cleanup_free uint8_t *file = NULL;
	size_t strings = 0, size;
	struct le_writer writer;

	if (!facts_are_sound(facts))
		return -EINVAL;
	for (size_t i = 0; i < facts->count; i++)
		strings += strlen(facts->answers[i].path) + 1 +
			   strlen(origin_of(&facts->answers[i])) + 1;
	size = HEADER_SIZE + facts->count * RECORD_SIZE + strings + CHECKSUM_SIZE;
	file = malloc(size);
	if (!file)
		return -ENOMEM;
	memcpy(file, magic, sizeof(magic));
	memcpy(file + 4,
	       (uint8_t[]){STORE_FACTS_VERSION, 0, (uint8_t)facts->key.by, (uint8_t)facts->source},
	       4);
	writer.at = file + 8;
	le_put(&writer, facts->key.id.bytes, sizeof(facts->key.id.bytes));
	le_put(&writer, facts->chain.bytes, sizeof(facts->chain.bytes));
	le_put32(&writer, facts->layers);
	le_put32(&writer, facts->diff_ids);
	le_put32(&writer, (uint32_t)facts->count);
	le_put32(&writer, (uint32_t)strings);
	for (size_t i = 0; i < facts->count; i++)
		put_answer(&writer, &facts->answers[i]);
	for (size_t i = 0; i < facts->count; i++) {
		const char *origin = origin_of(&facts->answers[i]);

		le_put(&writer, facts->answers[i].path, strlen(facts->answers[i].path) + 1);
		le_put(&writer, origin, strlen(origin) + 1);
	}
	le_put64(&writer, checksum(file, size - CHECKSUM_SIZE));
	*ret = TAKE_PTR(file);
	*ret_size = size;
	return 0;
}
