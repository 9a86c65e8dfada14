/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/fill/lister.h"

#include <errno.h>
#include <string.h>

#include "fuse/fill/child.h"
#include "fuse/view/urunc-config.h"
#include "layerindex/blob/layer-log.h"
#include "layerindex/cleanup.h"

enum {
	LIKELY_SIZE_MIN = 64 << 10, /* of a kernel; a configuration may be smaller */
	FIRST_BYTES = 512,	    /* of a file that is looked at */
};

/* What each key of a configuration begins with. */
static const char config_key[] = "\"com.urunc.unikernel.";

/* A name log on its way. */
struct names {
	const struct child *child;
	size_t size;
	unsigned kept;
	char bytes[FRAME_BYTES_MAX];
};

static int names_flush(struct names *names)
{
	size_t n = TAKE(names->size, 0);

	return n > 0 ? child_answer(names->child, FRAME_NAMES, names->bytes, n) : 0;
}

static int names_put(struct names *names, const void *bytes, size_t n)
{
	while (n > 0) {
		size_t room = sizeof(names->bytes) - names->size, most = n < room ? n : room;
		int r;

		memcpy(names->bytes + names->size, bytes, most);
		names->size += most;
		bytes = (const char *)bytes + most;
		n -= most;
		r = names->size == sizeof(names->bytes) ? names_flush(names) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static bool is_config(const char *name)
{
	static const char config[] = "urunc.json";
	size_t n = strlen(name), length = sizeof(config) - 1;

	return n >= length && strcmp(name + n - length, config) == 0;
}

/* Whether a path is where distributions have their files, not an image's author a kernel. */
static bool is_of_distribution(const char *name)
{
	static const char *const directories[] = {"bin",    "etc",  "lib", "lib32", "lib64",
						  "libx32", "sbin", "usr", "var"};
	size_t n;

	while (*name == '/' || strncmp(name, "./", 2) == 0)
		name++;
	n = strcspn(name, "/");
	for (size_t i = 0; i < sizeof(directories) / sizeof(*directories); i++)
		if (strlen(directories[i]) == n && strncmp(name, directories[i], n) == 0)
			return true;
	return false;
}

/*
 * Whether a file is likely to be asked for next: the image's configuration, or what that names. A
 * wrong guess costs a copy or another decoding, and nothing else.
 */
static bool is_likely(const struct names *names, const struct tar_entry *entry)
{
	if (entry->type != '0' || entry->size > KEPT_SIZE_MAX || names->kept == KEPT_MAX)
		return false;
	return is_config(entry->name) ||
	       (entry->size >= LIKELY_SIZE_MIN && !is_of_distribution(entry->name));
}

/* Whether what begins by so many bytes may be an object of JSON. */
static bool may_be_object(const char *bytes, size_t n)
{
	size_t i = 0;

	while (i < n && strchr(" \t\n\r", bytes[i]) && bytes[i])
		i++;
	return i == n || bytes[i] == '{';
}

/* Answers by the *n* bytes of a file that is kept. */
static int hand_out_bytes(const struct child *child, const char *bytes, size_t n)
{
	int r = 0;

	for (size_t part; r == 0 && n > 0; bytes += part, n -= part) {
		part = n < FRAME_BYTES_MAX ? n : FRAME_BYTES_MAX;
		r = child_answer(child, FRAME_CONTENT, bytes, part);
	}
	return r;
}

/*
 * Keeps a file that is the image's configuration by what it holds: a link of any layer may lead to
 * it, and what it names is not known before it was read. Nearly all files are none by their first
 * character.
 */
static int keep_config(struct names *names, struct tar *tar, const struct frame_kept *kept)
{
	static char bytes[URUNC_JSON_SIZE_MAX];
	size_t n = 0;
	ssize_t r;

	if (kept->size > (int64_t)sizeof(bytes) || names->kept == KEPT_MAX)
		return 0;
	while ((r = tar_read(tar, bytes + n, n > 0 ? sizeof(bytes) - n : FIRST_BYTES)) > 0) {
		n += (size_t)r;
		if (!may_be_object(bytes, n))
			return 0;
	}
	if (r < 0 || !memmem(bytes, n, config_key, sizeof(config_key) - 1))
		return (int)r;
	names->kept++;
	if (child_answer(names->child, FRAME_KEPT, kept, sizeof(*kept)) < 0)
		return -EPIPE;
	return hand_out_bytes(names->child, bytes, n);
}

static int list_entry(struct names *names, struct tar *tar, const struct tar_entry *entry,
		      uint64_t number)
{
	struct frame_kept kept = {number, entry->size};
	uint8_t record[LAYER_LOG_RECORD];

	layer_log_encode(entry, record);
	if (names_put(names, record, sizeof(record)) < 0 ||
	    names_put(names, entry->name, strlen(entry->name)) < 0 ||
	    names_put(names, entry->link, strlen(entry->link)) < 0)
		return -EPIPE;
	if (!is_likely(names, entry))
		return entry->type == '0' ? keep_config(names, tar, &kept) : 0;
	names->kept++;
	if (child_answer(names->child, FRAME_KEPT, &kept, sizeof(kept)) < 0)
		return -EPIPE;
	return child_hand_out(names->child, tar);
}

static int list_archive(void *argument)
{
	static struct names names;
	const struct child *child = argument;
	struct pieces pieces = {.fd = child->from};
	struct frame_status status = {.reason = "it is cut, or is no tar archive"};
	struct tar *tar = tar_new(pieces_source, &pieces);
	struct tar_entry entry;
	int r = 1;

	names.child = child;
	if (!tar || child_confine(child) < 0 ||
	    names_put(&names, layer_log_header, LAYER_LOG_HEADER) < 0)
		return 1;
	for (; r > 0; status.entry++) {
		r = tar_next(tar, &entry);
		if (r <= 0)
			break;
		r = list_entry(&names, tar, &entry, status.entry);
		if (r < 0)
			break;
		r = 1;
	}
	status.result = r;
	if (names_flush(&names) < 0)
		return 1;
	return child_answer_status(child, &pieces, &status) < 0;
}

pid_t lister_start(int from, int to)
{
	return child_start(list_archive,
			   &(struct child){.from = from, .to = to, .seconds = CHILD_SECONDS_MAX});
}
