/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/fill/unpacker-child.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuse/base/io.h"
#include "fuse/fill/child.h"
#include "layerindex/array.h"
#include "layerindex/blob/apply.h"

/* How unpacking a layer went. */
static struct frame_status status_of(const struct apply *apply, int result)
{
	struct frame_status status = {.result = result, .entry = apply->entry};

	if (result < 0)
		strncpy(status.reason, apply->reason, sizeof(status.reason) - 1);
	if (result < 0 && apply->name)
		strncpy(status.name, apply->name, sizeof(status.name) - 1);
	return status;
}

/* Where a file's content is, in the order of layers and entries. */
struct known_range {
	uint32_t layer;
	uint64_t entry;
	struct toc_range range;
};

/* What an unpacker knows. */
struct unpacking {
	const struct child *child;
	struct apply apply;
	struct known_range *ranges; /* owned */
	size_t count, room;
};

static int unpack_log(struct unpacking *unpacking)
{
	struct pieces pieces = {.fd = unpacking->child->from};
	struct layer_log *log = layer_log_new(pieces_source, &pieces);
	struct apply *apply = &unpacking->apply;
	struct frame_status status;

	if (!log)
		return -ENOMEM;
	status = status_of(apply, apply_log(apply, log));
	layer_log_free(log);
	return child_answer_status(unpacking->child, &pieces, &status);
}

static int keep_range(void *context, uint32_t layer, uint64_t entry, const struct toc_range *range)
{
	struct unpacking *unpacking = context;
	struct known_range *ranges =
		array_grow(unpacking->ranges, unpacking->count, &unpacking->room, sizeof(*ranges));

	if (!ranges)
		return -ENOMEM;
	unpacking->ranges = ranges;
	ranges[unpacking->count++] = (struct known_range){layer, entry, *range};
	return 0;
}

/* Unpacks a layer by its table of contents. */
static int unpack_table(struct unpacking *unpacking)
{
	struct pieces pieces = {.fd = unpacking->child->from};
	struct apply *apply = &unpacking->apply;
	struct frame_status status;
	struct frame_table table;
	struct toc *toc;

	if (read_whole(pieces.fd, &table, sizeof(table)) < 0)
		return -EIO;
	toc = toc_new(table.form, pieces_source, &pieces);
	if (!toc)
		return -ENOMEM;
	status = status_of(apply, apply_table(apply, toc, keep_range, unpacking));
	toc_free(toc);
	return child_answer_status(unpacking->child, &pieces, &status);
}

static int compare_ranges(const void *a, const void *b)
{
	const struct known_range *left = a, *right = b;

	if (left->layer != right->layer)
		return left->layer < right->layer ? -1 : 1;
	return left->entry < right->entry ? -1 : left->entry > right->entry;
}

/* Where a file's content is, if its layer is known by a table. */
static void set_range(const struct unpacking *unpacking, struct frame_found *found)
{
	const struct known_range key = {.layer = found->layer, .entry = found->entry};
	const struct known_range *range =
		unpacking->count == 0 ? NULL
				      : bsearch(&key, unpacking->ranges, unpacking->count,
						sizeof(key), compare_ranges);

	if (range)
		found->range = range->range;
}

/* Hands out the contents of entries. Returns: 0 or -errno. */
static int hand_out_all(const struct child *child, struct tar *tar,
			const struct frame_extract *wanted)
{
	struct tar_entry entry;
	uint32_t done = 0;
	int r = 1;

	for (uint64_t i = 0; r > 0 && done < wanted->count; i++) {
		r = tar_next(tar, &entry);
		if (r <= 0)
			return r < 0 ? r : -EBADMSG;
		if (i != wanted->entries[done])
			continue;
		done++;
		if (child_answer(child, FRAME_BEGIN, NULL, 0) < 0)
			return -EPIPE;
		r = child_hand_out(child, tar);
		if (r < 0)
			return r;
		r = 1;
	}
	return 0;
}

static int extract(const struct child *child)
{
	struct pieces pieces = {.fd = child->from};
	struct tar *tar = tar_new(pieces_source, &pieces);
	struct frame_status status;
	struct frame_extract wanted;
	int r = read_whole(child->from, &wanted, sizeof(wanted));

	if (r < 0)
		return r;
	if (wanted.count == 0 || wanted.count > EXTRACT_MAX)
		return -EIO;
	status = (struct frame_status){
		.result = tar ? hand_out_all(child, tar, &wanted) : -ENOMEM,
		.entry = wanted.entries[0],
		.reason = "its content changed",
	};
	tar_free(tar);
	return child_answer_status(child, &pieces, &status);
}

static uint32_t mode_of(const struct tree_file *file)
{
	static const mode_t types[] = {
		[TREE_FILE] = S_IFREG,	    [TREE_DIRECTORY] = S_IFDIR, [TREE_SYMLINK] = S_IFLNK,
		[TREE_CHARACTER] = S_IFCHR, [TREE_BLOCK] = S_IFBLK,	[TREE_FIFO] = S_IFIFO,
	};

	return types[file->type] | file->mode;
}

static int find(const struct unpacking *unpacking, size_t n)
{
	const struct child *child = unpacking->child;
	struct frame_found found = {};
	const struct tree_file *file;
	char path[FRAME_TEXT_MAX];
	int r = n == 0 || n > sizeof(path) ? -EIO : read_whole(child->from, path, n);

	if (r < 0)
		return r;
	path[n - 1] = '\0';
	found.result = apply_find(&unpacking->apply, path, &file, found.path);
	if (found.result == 0) {
		found.mode = mode_of(file);
		found.uid = file->uid;
		found.gid = file->gid;
		found.size = file->size;
		found.seconds = file->mtime.tv_sec;
		found.nanoseconds = (uint32_t)file->mtime.tv_nsec;
		found.layer = file->layer;
		found.entry = file->entry;
		set_range(unpacking, &found);
	}
	return child_answer(child, FRAME_FOUND, &found, sizeof(found));
}

static int obey(struct unpacking *unpacking)
{
	const struct child *child = unpacking->child;
	struct frame frame;
	int r = read_whole(child->from, &frame, sizeof(frame));

	if (r < 0)
		return r;
	switch (frame.kind) {
	case FRAME_LOG: return unpack_log(unpacking);
	case FRAME_TABLE: return unpack_table(unpacking);
	case FRAME_FIND: return find(unpacking, frame.size);
	case FRAME_EXTRACT: return extract(child);
	default: return -EIO;
	}
}

static int unpack_layers(void *argument)
{
	struct unpacking unpacking = {.child = argument};
	int r = apply_init(&unpacking.apply);

	if (r == 0)
		r = child_confine(unpacking.child);
	while (r == 0)
		r = obey(&unpacking);
	/* The parent has gone, or has what it wanted. */
	return r == -EPIPE ? 0 : 1;
}

pid_t unpacker_child_start(int from, int to)
{
	return child_start(unpack_layers,
			   &(struct child){.from = from, .to = to, .seconds = CHILD_SECONDS_MAX});
}
