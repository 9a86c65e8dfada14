/* SPDX-License-Identifier: Apache-2.0 */
/* Little-endian numbers one after another in bytes that were checked to be long enough. */
#pragma once

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct le_writer {
	uint8_t *at; /* moves on with each number */
};

struct le_reader {
	const uint8_t *at;
};

static inline void le_put(struct le_writer *writer, const void *bytes, size_t n)
{
	memcpy(writer->at, bytes, n);
	writer->at += n;
}

static inline void le_put16(struct le_writer *writer, uint16_t value)
{
	value = htole16(value);
	le_put(writer, &value, sizeof(value));
}

static inline void le_put32(struct le_writer *writer, uint32_t value)
{
	value = htole32(value);
	le_put(writer, &value, sizeof(value));
}

static inline void le_put64(struct le_writer *writer, uint64_t value)
{
	value = htole64(value);
	le_put(writer, &value, sizeof(value));
}

static inline void le_get(struct le_reader *reader, void *ret, size_t n)
{
	memcpy(ret, reader->at, n);
	reader->at += n;
}

static inline uint16_t le_get16(struct le_reader *reader)
{
	uint16_t value;

	le_get(reader, &value, sizeof(value));
	return le16toh(value);
}

static inline uint32_t le_get32(struct le_reader *reader)
{
	uint32_t value;

	le_get(reader, &value, sizeof(value));
	return le32toh(value);
}

static inline uint64_t le_get64(struct le_reader *reader)
{
	uint64_t value;

	le_get(reader, &value, sizeof(value));
	return le64toh(value);
}
