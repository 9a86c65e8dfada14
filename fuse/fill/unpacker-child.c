/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/fill/unpacker-child.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fuse/fill/child.h"
#include "layerindex/blob/partial.h"
#include "layerindex/file/whole.h"

/* How unpacking a layer went. */
static struct frame_status status_of(const struct apply *apply, int result)
{
	struct frame_status status = {.result = result, .entry = apply->entry};

	if (result < 0 && apply->reason)
		strncpy(status.reason, apply->reason, sizeof(status.reason) - 1);
	if (result < 0 && apply->name)
		strncpy(status.name, apply->name, sizeof(status.name) - 1);
	return status;
}

/* What an unpacker knows. */
struct unpacking {
	const struct child *child;
	struct partial partial;
};

static int read_log(struct unpacking *unpacking)
{
	struct pieces pieces = {.fd = unpacking->child->from};
	struct layer_log *log = layer_log_new(pieces_source, &pieces);
	struct frame_status status;
	struct frame_layer told;

	if (!log || read_whole(pieces.fd, &told, sizeof(told)) < 0)
		return -EIO;
	status = status_of(&unpacking->partial.apply,
			   partial_read_log(&unpacking->partial, told.layer, log));
	layer_log_free(log);
	return child_answer_status(unpacking->child, &pieces, &status);
}

static int read_table(struct unpacking *unpacking)
{
	struct pieces pieces = {.fd = unpacking->child->from};
	struct frame_status status;
	struct frame_layer told;
	struct toc *toc;

	if (read_whole(pieces.fd, &told, sizeof(told)) < 0)
		return -EIO;
	toc = toc_new(told.form, pieces_source, &pieces);
	if (!toc)
		return -ENOMEM;
	status = status_of(&unpacking->partial.apply,
			   partial_read_table(&unpacking->partial, told.layer, toc));
	toc_free(toc);
	return child_answer_status(unpacking->child, &pieces, &status);
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

static void set_found(const struct partial_answer *answer, struct frame_found *ret)
{
	const struct tree_file *file = answer->file;

	ret->mode = mode_of(file);
	ret->uid = file->uid;
	ret->gid = file->gid;
	ret->size = file->size;
	ret->seconds = file->mtime.tv_sec;
	ret->nanoseconds = (uint32_t)file->mtime.tv_nsec;
	ret->layer = file->layer;
	ret->entry = file->entry;
	ret->range = answer->range;
	memcpy(ret->path, answer->path, sizeof(ret->path));
}

/* Returns: 0, with the path that a frame of *n* bytes holds; or -errno. */
static int read_path(const struct child *child, size_t n, char ret[FRAME_TEXT_MAX])
{
	int r = n == 0 || n > FRAME_TEXT_MAX ? -EIO : read_whole(child->from, ret, n);

	if (r == 0)
		ret[n - 1] = '\0';
	return r;
}

static int expect(struct unpacking *unpacking, size_t n)
{
	char path[FRAME_TEXT_MAX];
	int r = read_path(unpacking->child, n, path);

	if (r == 0)
		partial_expect(&unpacking->partial, path);
	return r;
}

static int find(struct unpacking *unpacking, size_t n)
{
	static struct partial_answer answer;
	const struct child *child = unpacking->child;
	const struct apply *apply = &unpacking->partial.apply;
	struct frame_found found = {};
	char path[FRAME_TEXT_MAX];
	int r = read_path(child, n, path);

	if (r < 0)
		return r;
	found.result = partial_find(&unpacking->partial, path, &answer, &found.layer);
	if (found.result == 0) {
		set_found(&answer, &found);
	} else if (found.result != -EAGAIN && apply->layers > 0) {
		found.layer = apply->layers - 1;
		found.status = status_of(apply, found.result);
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
	case FRAME_LOG: return read_log(unpacking);
	case FRAME_TABLE: return read_table(unpacking);
	case FRAME_EXPECT: return expect(unpacking, frame.size);
	case FRAME_FIND: return find(unpacking, frame.size);
	case FRAME_EXTRACT: return extract(child);
	default: return -EIO;
	}
}

static int unpack_layers(void *argument)
{
	struct unpacking unpacking = {.child = argument};
	const uint32_t *layers = unpacking.child->context;
	int r = partial_init(&unpacking.partial, *layers);

	if (r == 0)
		r = child_confine(unpacking.child);
	while (r == 0)
		r = obey(&unpacking);
	/* The parent has gone, or has what it wanted. */
	return r == -EPIPE ? 0 : 1;
}

pid_t unpacker_child_start(int from, int to, uint32_t layers)
{
	struct child child = {
		.from = from, .to = to, .seconds = CHILD_SECONDS_MAX, .context = &layers};

	return child_start(unpack_layers, &child);
}
