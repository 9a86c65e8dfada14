/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/blob/layer-log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "layerindex/file/little-endian.h"

enum {
	LEVEL = 3,
	OUTPUT_SIZE = 64 << 10,
};

const char layer_log_header[LAYER_LOG_HEADER] = {'U', 'V', 'L', 'L', 1};

void layer_log_encode(const struct tar_entry *entry, uint8_t ret[LAYER_LOG_RECORD])
{
	struct le_writer writer = {ret};

	le_put32(&writer, (uint8_t)entry->type);
	le_put32(&writer, (uint32_t)strlen(entry->name));
	le_put32(&writer, (uint32_t)strlen(entry->link));
	le_put64(&writer, (uint64_t)entry->size);
	le_put64(&writer, (uint64_t)entry->mode);
	le_put64(&writer, (uint64_t)entry->uid);
	le_put64(&writer, (uint64_t)entry->gid);
	le_put64(&writer, (uint64_t)entry->mtime.tv_sec);
	le_put32(&writer, (uint32_t)entry->mtime.tv_nsec);
}

struct layer_log {
	tar_source source;
	void *from;
	bool begun;
	char *texts; /* owned */
	size_t room;
};

struct layer_log *layer_log_new(tar_source source, void *from)
{
	struct layer_log *log = calloc(1, sizeof(*log));

	if (log)
		*log = (struct layer_log){.source = source, .from = from};
	return log;
}

void layer_log_free(struct layer_log *log)
{
	if (log)
		free(log->texts);
	free(log);
}

/* Returns: 1; 0: there is nothing more; -EBADMSG: there is less than *n*; or -errno. */
static int take(const struct layer_log *log, void *ret, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = log->source(log->from, (char *)ret + done, n - done);

		if (r < 0)
			return (int)r;
		if (r == 0)
			return done == 0 ? 0 : -EBADMSG;
		done += (size_t)r;
	}
	return 1;
}

static int take_header(struct layer_log *log)
{
	char header[LAYER_LOG_HEADER];
	int r = log->begun ? 1 : take(log, header, sizeof(header));

	if (r < 0)
		return r;
	if (!log->begun && (r == 0 || memcmp(header, layer_log_header, sizeof(header)) != 0))
		return -EBADMSG;
	log->begun = true;
	return 1;
}

/* Takes the texts, each of which gets a NUL. */
static int take_texts(struct layer_log *log, size_t name, size_t link, struct tar_entry *ret)
{
	size_t size = name + link + 2;
	int r;

	if (name > TAR_SPECIAL_MAX || link > TAR_SPECIAL_MAX)
		return -EBADMSG;
	if (size > log->room) {
		char *texts = realloc(log->texts, size);

		if (!texts)
			return -ENOMEM;
		log->texts = texts;
		log->room = size;
	}
	r = name > 0 ? take(log, log->texts, name) : 1;
	log->texts[name] = '\0';
	if (r > 0 && link > 0)
		r = take(log, log->texts + name + 1, link);
	log->texts[size - 1] = '\0';
	if (r <= 0)
		return r < 0 ? r : -EBADMSG;
	ret->name = log->texts;
	ret->link = log->texts + name + 1;
	return strlen(ret->name) == name && strlen(ret->link) == link ? 1 : -EBADMSG;
}

int layer_log_next(struct layer_log *log, struct tar_entry *ret)
{
	uint8_t record[LAYER_LOG_RECORD];
	struct le_reader reader = {record};
	uint32_t type, name, link;
	int r = take_header(log);

	if (r > 0)
		r = take(log, record, sizeof(record));
	if (r <= 0)
		return r;
	type = le_get32(&reader);
	name = le_get32(&reader);
	link = le_get32(&reader);
	ret->type = (char)type;
	ret->size = (int64_t)le_get64(&reader);
	ret->mode = (int64_t)le_get64(&reader);
	ret->uid = (int64_t)le_get64(&reader);
	ret->gid = (int64_t)le_get64(&reader);
	ret->mtime.tv_sec = (time_t)le_get64(&reader);
	ret->mtime.tv_nsec = (long)le_get32(&reader);
	if (type > UINT8_MAX || ret->size < 0 || ret->mtime.tv_nsec > 999999999)
		return -EBADMSG;
	return take_texts(log, name, link, ret);
}

struct layer_log_writer {
	int fd;
	size_t size;	 /* that was written */
	ZSTD_CCtx *zstd; /* owned */
	char output[OUTPUT_SIZE];
};

struct layer_log_writer *layer_log_writer_new(int fd)
{
	struct layer_log_writer *writer = calloc(1, sizeof(*writer));

	if (!writer)
		return NULL;
	writer->fd = fd;
	writer->zstd = ZSTD_createCCtx();
	if (writer->zstd &&
	    !ZSTD_isError(ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_compressionLevel, LEVEL)) &&
	    !ZSTD_isError(ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_checksumFlag, 1)))
		return writer;
	layer_log_writer_free(writer);
	return NULL;
}

void layer_log_writer_free(struct layer_log_writer *writer)
{
	if (writer)
		ZSTD_freeCCtx(writer->zstd);
	free(writer);
}

static int write_all(struct layer_log_writer *writer, size_t n)
{
	size_t done = 0;

	writer->size += n;
	if (writer->size > LAYER_LOG_SIZE_MAX)
		return -EFBIG;
	while (done < n) {
		ssize_t r = write(writer->fd, writer->output + done, n - done);

		if (r < 0 && errno != EINTR)
			return -errno;
		done += r > 0 ? (size_t)r : 0;
	}
	return 0;
}

int layer_log_writer_add(struct layer_log_writer *writer, const void *bytes, size_t n)
{
	ZSTD_EndDirective mode = n > 0 ? ZSTD_e_continue : ZSTD_e_end;
	ZSTD_inBuffer in = {bytes, n, 0};
	size_t left;

	do {
		ZSTD_outBuffer out = {writer->output, sizeof(writer->output), 0};
		int r;

		left = ZSTD_compressStream2(writer->zstd, &out, &in, mode);
		if (ZSTD_isError(left))
			return -ENOMEM;
		r = write_all(writer, out.pos);
		if (r < 0)
			return r;
	} while (n > 0 ? in.pos < in.size : left > 0);
	return 0;
}
