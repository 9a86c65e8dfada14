/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/serve/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse/base/messages.h"
#include "layerindex/cleanup.h"
#include "layerindex/file/whole.h"

enum {
	SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE,
	ORIGIN_MAX = STATE_SIZE_MAX / 4,
};

/* "VIEWSTAT" in the order of a little-endian machine. */
#define MAGIC UINT64_C(0x5441545357454956)

/* Writing: once to know how many bytes there are, and once to write them. */

struct state_writer {
	char *bytes; /* NULL: they are only counted */
	size_t size;
};

static void put_bytes(struct state_writer *writer, const void *bytes, size_t n)
{
	if (writer->bytes)
		memcpy(writer->bytes + writer->size, bytes, n);
	writer->size += n;
}

static void put(struct state_writer *writer, uint64_t value)
{
	put_bytes(writer, &value, sizeof(value));
}

/* NULL is no string, which is not the same as an empty one. */
static void put_string(struct state_writer *writer, const char *text)
{
	size_t n = text ? strlen(text) + 1 : 0;

	put(writer, n);
	if (n > 0)
		put_bytes(writer, text, n);
}

static void put_time(struct state_writer *writer, const struct timespec *time)
{
	put(writer, (uint64_t)time->tv_sec);
	put(writer, (uint64_t)time->tv_nsec);
}

static void put_attributes(struct state_writer *writer, const struct stat *st)
{
	put(writer, st->st_mode);
	put(writer, st->st_uid);
	put(writer, st->st_gid);
	put(writer, (uint64_t)st->st_size);
	put(writer, (uint64_t)st->st_blocks);
	put(writer, (uint64_t)st->st_blksize);
	put_time(writer, &st->st_mtim);
	put_time(writer, &st->st_ctim);
}

static void put_artifact(struct state_writer *writer, const struct artifact *artifact)
{
	put_string(writer, artifact->path);
	put(writer, artifact->roles);
	put(writer, artifact->state == ARTIFACT_READY);
	if (artifact->state != ARTIFACT_READY)
		return;
	put(writer, artifact->reading);
	put(writer, (uint64_t)(artifact->reading == READ_PASSTHROUGH ? artifact->backing_id
								     : artifact->fd));
	put_attributes(writer, &artifact->st);
	put_string(writer, artifact->origin);
	put(writer, artifact->layer);
	put(writer, artifact->digest.given);
	if (artifact->digest.given)
		put_bytes(writer, &artifact->digest.digest, sizeof(artifact->digest.digest));
}

static void put_facts(struct state_writer *writer, const struct view_facts *facts)
{
	put_string(writer, facts->id);
	put_string(writer, facts->mountpoint);
	put_string(writer, facts->fingerprint);
	put(writer, facts->elapsed_us);
	put(writer, facts->connection);
	put(writer, facts->shall_survive);
}

static void put_state(struct state_writer *writer, const struct view_state *state)
{
	const struct view *view = state->view;

	put(writer, MAGIC);
	put(writer, STATE_VERSION);
	put_bytes(writer, &state->init, sizeof(state->init));
	put(writer, state->passthrough);
	put(writer, state->resend);
	put(writer, state->supervised);
	put(writer, state->insist);
	put_facts(writer, state->facts);
	put(writer, view->image.layers);
	put(writer, view->image.key.by);
	put_bytes(writer, &view->image.key.id, sizeof(view->image.key.id));
	put_time(writer, &view->time);
	put(writer, view->artifact_count);
	for (size_t i = 0; i < view->artifact_count; i++)
		put_artifact(writer, &view->artifacts[i]);
}

int state_keep(const struct view_state *state)
{
	struct state_writer writer = {};
	cleanup_free char *bytes = NULL;
	cleanup_close int fd = -EBADF;
	int r;

	put_state(&writer, state);
	if (writer.size > STATE_SIZE_MAX)
		return -EFBIG;
	bytes = malloc(writer.size);
	if (!bytes)
		return -ENOMEM;
	writer = (struct state_writer){.bytes = bytes};
	put_state(&writer, state);
	fd = memfd_create("urunc-viewfs-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	r = write_whole(fd, bytes, writer.size);
	if (r < 0)
		return r;
	return fcntl(fd, F_ADD_SEALS, SEALS) < 0 ? -errno : TAKE_FD(fd);
}

ssize_t state_size(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & SEALS) != SEALS)
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	return st.st_size > 0 && st.st_size <= STATE_SIZE_MAX ? (ssize_t)st.st_size : -EINVAL;
}

/* Reading. What is wrong is found at the end: until then a number is 0, and a string none. */

struct state_reader {
	const char *at;
	size_t left;
	bool bad, no_memory;
	const int *files;
	size_t file_count;
};

static void get_bytes(struct state_reader *reader, void *ret, size_t n)
{
	reader->bad |= n > reader->left;
	if (reader->bad) {
		memset(ret, 0, n);
		return;
	}
	memcpy(ret, reader->at, n);
	reader->at += n;
	reader->left -= n;
}

/* A number from *min* to *max*; where it is another one, *min*. */
static uint64_t get(struct state_reader *reader, uint64_t min, uint64_t max)
{
	uint64_t value;

	get_bytes(reader, &value, sizeof(value));
	if (value >= min && value <= max)
		return value;
	reader->bad = true;
	return min;
}

static bool get_bool(struct state_reader *reader)
{
	return get(reader, 0, 1) == 1;
}

/* Returns: an owned string of at most *max* bytes, or NULL. */
static char *get_string(struct state_reader *reader, size_t max)
{
	size_t n = (size_t)get(reader, 0, max + 1);
	const char *text = reader->at;
	char *copy;

	if (n == 0)
		return NULL;
	/* The NUL is the last byte, and the only one. */
	if (reader->bad || n > reader->left || memchr(text, '\0', n) != text + n - 1) {
		reader->bad = true;
		return NULL;
	}
	copy = strdup(text);
	reader->no_memory |= !copy;
	reader->at += n;
	reader->left -= n;
	return copy;
}

static struct timespec get_time(struct state_reader *reader)
{
	struct timespec time;

	get_bytes(reader, &time.tv_sec, sizeof(uint64_t));
	time.tv_nsec = (long)get(reader, 0, 999999999);
	return time;
}

static void get_attributes(struct state_reader *reader, struct stat *ret)
{
	*ret = (struct stat){.st_nlink = 1};
	ret->st_mode = S_IFREG | ((mode_t)get(reader, 0, UINT32_MAX) & 07555);
	ret->st_uid = (uid_t)get(reader, 0, UINT32_MAX);
	ret->st_gid = (gid_t)get(reader, 0, UINT32_MAX);
	ret->st_size = (off_t)get(reader, 1, INT64_MAX);
	ret->st_blocks = (blkcnt_t)get(reader, 0, INT64_MAX);
	ret->st_blksize = (blksize_t)get(reader, 0, INT32_MAX);
	ret->st_mtim = get_time(reader);
	ret->st_atim = ret->st_mtim;
	ret->st_ctim = get_time(reader);
}

static bool has_file(const struct state_reader *reader, uint64_t number)
{
	for (size_t i = 0; i < reader->file_count; i++)
		if ((uint64_t)reader->files[i] == number)
			return true;
	return false;
}

/* How its content reaches a reader. */
static void get_reading(struct state_reader *reader, struct artifact *artifact)
{
	uint64_t number;

	artifact->reading = (enum reading)get(reader, READ_PASSTHROUGH, READ_DIRECT);
	number = get(reader, 0, INT32_MAX);
	if (artifact->reading == READ_PASSTHROUGH) {
		artifact->backing_id = (int)number;
		reader->bad |= number == 0;
	} else if (has_file(reader, number)) {
		artifact->fd = (int)number;
	} else {
		reader->bad = true;
	}
}

static bool has_artifact(const struct view *view, const char *path)
{
	for (size_t i = 0; i < view->artifact_count; i++)
		if (strcmp(view->artifacts[i].path, path) == 0)
			return true;
	return false;
}

static void get_artifact(struct state_reader *reader, struct view *view)
{
	struct artifact *artifact = &view->artifacts[view->artifact_count];
	char *path = get_string(reader, ARTIFACT_PATH_MAX + 1);

	artifact->path = path;
	artifact->fd = -EBADF;
	reader->bad |= !path || *path != '/' || urunc_path_fault(path) || has_artifact(view, path);
	artifact->roles = (unsigned)get(reader, 1, ROLE_CONFIG | ROLE_BINARY | ROLE_INITRD);
	artifact->state = get_bool(reader) ? ARTIFACT_READY : ARTIFACT_MISSING;
	view->artifact_count++;
	if (artifact->state != ARTIFACT_READY)
		return;
	get_reading(reader, artifact);
	get_attributes(reader, &artifact->st);
	artifact->origin = get_string(reader, ORIGIN_MAX);
	reader->bad |= !artifact->origin;
	artifact->layer = (size_t)get(reader, 0, LI_LAYERS_MAX);
	artifact->digest.given = get_bool(reader);
	if (artifact->digest.given)
		get_bytes(reader, &artifact->digest.digest, sizeof(artifact->digest.digest));
}

static void get_facts(struct state_reader *reader, struct view_facts *ret)
{
	cleanup_free char *fingerprint = NULL;

	ret->id = get_string(reader, ID_MAX);
	ret->mountpoint = get_string(reader, PATH_MAX);
	fingerprint = get_string(reader, FINGERPRINT_SIZE - 1);
	if (fingerprint && strlen(fingerprint) == FINGERPRINT_SIZE - 1 &&
	    strspn(fingerprint, "0123456789abcdef") == FINGERPRINT_SIZE - 1)
		memcpy(ret->fingerprint, fingerprint, FINGERPRINT_SIZE);
	else
		reader->bad = true;
	ret->elapsed_us = get(reader, 0, INT64_MAX);
	ret->connection = (unsigned)get(reader, 0, UINT32_MAX);
	ret->shall_survive = get_bool(reader);
}

static void get_view(struct state_reader *reader, struct view *ret)
{
	uint64_t artifacts;

	ret->image.layers = (size_t)get(reader, 0, LI_LAYERS_MAX);
	ret->image.key.by = (enum li_store_by)get(reader, 0, LI_STORE_MANIFEST);
	get_bytes(reader, &ret->image.key.id, sizeof(ret->image.key.id));
	ret->time = get_time(reader);
	artifacts = get(reader, 1, ARTIFACTS_MAX);
	while (!reader->bad && artifacts-- > 0)
		get_artifact(reader, ret);
}

int state_parse(const void *bytes, size_t size, const int *files, size_t n, struct view_state *ret,
		struct view_error *error)
{
	struct state_reader reader = {.at = bytes, .left = size, .files = files, .file_count = n};
	uint64_t version;

	if (get(&reader, 0, UINT64_MAX) != MAGIC)
		return view_fail(error, MSG_STATE_NONE);
	version = get(&reader, 0, UINT64_MAX);
	if (version < STATE_OLDEST || version > STATE_VERSION)
		return view_fail(error, MSG_STATE_VERSION, (unsigned long long)version,
				 STATE_OLDEST, STATE_VERSION);
	get_bytes(&reader, &ret->init, sizeof(ret->init));
	ret->passthrough = get_bool(&reader);
	ret->resend = get_bool(&reader);
	ret->supervised = get_bool(&reader);
	ret->insist = get_bool(&reader);
	get_facts(&reader, ret->facts);
	get_view(&reader, ret->view);
	if (reader.no_memory)
		return view_fail(error, MSG_NO_MEMORY);
	if (reader.bad || reader.left > 0)
		return view_fail(error, MSG_STATE_NONE);
	return view_build(ret->view, error);
}

void state_done(struct view_state *state)
{
	view_done(state->view);
	free((void *)(uintptr_t)TAKE_PTR(state->facts->id));
	free((void *)(uintptr_t)TAKE_PTR(state->facts->mountpoint));
}
