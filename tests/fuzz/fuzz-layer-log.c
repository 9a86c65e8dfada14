/* SPDX-License-Identifier: Apache-2.0 */
/* A layer's name log, decompressed: what is read can be written, and is the same then. */
#include "layerindex/blob/layer-log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "layerindex/cleanup.h"
#include "tests/fuzz/check.h"

struct input {
	const uint8_t *bytes;
	size_t left;
};

/* A few bytes at a time, so that records lie across reads. */
static ssize_t read_input(void *from, void *buffer, size_t n)
{
	struct input *input = from;
	size_t most = n < 7 ? n : 7;

	if (most > input->left)
		most = input->left;
	memcpy(buffer, input->bytes, most);
	input->bytes += most;
	input->left -= most;
	return (ssize_t)most;
}

/* Compares an entry with the record that it was read from. */
static size_t check_entry(const struct tar_entry *entry, const uint8_t *bytes, size_t left)
{
	size_t name = strlen(entry->name), link = strlen(entry->link);
	uint8_t record[LAYER_LOG_RECORD];

	require(left >= sizeof(record) + name + link, "no more is read than there is");
	layer_log_encode(entry, record);
	require(memcmp(record, bytes, sizeof(record)) == 0, "the same record comes back");
	require(memcmp(entry->name, bytes + sizeof(record), name) == 0, "and the name");
	require(memcmp(entry->link, bytes + sizeof(record) + name, link) == 0, "and the target");
	return sizeof(record) + name + link;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	struct layer_log *log = layer_log_new(read_input, &input);
	struct tar_entry entry;
	size_t at = LAYER_LOG_HEADER;
	int r;

	require(log != NULL, "there is memory for a reader");
	while ((r = layer_log_next(log, &entry)) > 0)
		at += check_entry(&entry, data + at, size - at);
	require(r == 0 || r == -EBADMSG || r == -ENOMEM, "it is read, or refused");
	require(r < 0 || at == size, "all of it is read");
	layer_log_free(log);
	return 0;
}
