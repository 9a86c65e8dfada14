/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/fill/confined.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse/base/io.h"
#include "fuse/process/run-with-timeout.h"
#include "fuse/process/sandbox.h"
#include "layerindex/array.h"
#include "layerindex/blob/apply.h"
#include "layerindex/blob/stream.h"
#include "layerindex/cleanup.h"

/* What a child has. */
struct child {
	int from, to;
	pid_t parent;
	rlim_t seconds;		  /* of a processor */
	struct decoder_work work; /* a decoder's */
};

/* Nothing that the image's author wrote is read before. */
static int confine(const struct child *child)
{
	/* The first ends it by SIGXCPU, which the parent knows it by. */
	const struct rlimit seconds = {child->seconds, child->seconds + 1};
	const int keep[] = {child->from, child->to};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != child->parent)
		return -ESRCH;
	setrlimit(RLIMIT_CPU, &seconds);
#ifdef __GLIBC__
	/* What grows by mremap(2), which the sandbox does not have, grows by brk(2). */
	mallopt(M_MMAP_MAX, 0);
#endif
	sandbox_child(keep, 2, CHILD_MEMORY_MAX);
	return 0;
}

/* Hands out the plain bytes that are asked for. Returns: 0, or -errno as stream_read(). */
static ssize_t decode_plain(const struct child *child, struct stream *stream)
{
	static char bytes[FRAME_BYTES_MAX];
	int64_t skip = child->work.skip, left = child->work.length;
	ssize_t n = 0;

	while (left > 0 && (n = stream_read(stream, bytes, sizeof(bytes))) > 0) {
		int64_t skipped = skip < n ? skip : n;
		int64_t wanted = n - skipped < left ? n - skipped : left;

		if (write_whole(child->to, bytes + skipped, (size_t)wanted) < 0)
			return -EPIPE;
		skip -= skipped;
		left -= wanted;
	}
	return n < 0 ? n : 0;
}

/* Hands out the table that is the one file of an archive. Returns: 0 or -errno. */
static ssize_t decode_table(const struct child *child, struct stream *stream)
{
	static char bytes[FRAME_BYTES_MAX];
	struct tar *tar = tar_new(stream_source, stream);
	struct tar_entry entry;
	ssize_t n = tar ? tar_next(tar, &entry) : -ENOMEM;

	if (n == 0 || (n > 0 && strcmp(entry.name, TOC_ESTARGZ_NAME) != 0))
		return -EBADMSG;
	while (n > 0 && (n = tar_read(tar, bytes, sizeof(bytes))) > 0)
		if (write_whole(child->to, bytes, (size_t)n) < 0)
			return -EPIPE;
	return n;
}

static int decode(void *argument)
{
	const struct child *child = argument;
	struct stream *stream;
	ssize_t n;

	if (confine(child) < 0)
		return DECODER_SYSTEM;
	n = stream_open(child->from, child->work.size, &stream);
	if (n == 0)
		n = child->work.table ? decode_table(child, stream) : decode_plain(child, stream);
	/* The process ends: so does what it holds. */
	switch (n) {
	case 0: return DECODER_DONE;
	case -EBADMSG: return DECODER_DAMAGED;
	case -E2BIG: return DECODER_PLAIN_LIMIT;
	case -EFBIG: return DECODER_WINDOW_LIMIT;
	default: return DECODER_SYSTEM;
	}
}

/* What an unpacker reads from: the pieces of a layer. */
struct pieces {
	int fd;
	size_t left; /* of the piece at hand */
	bool ended;
};

static ssize_t read_piece(void *from, void *buffer, size_t n)
{
	struct pieces *pieces = from;
	struct frame frame;
	ssize_t r;

	while (pieces->left == 0 && !pieces->ended) {
		if (read_whole(pieces->fd, &frame, sizeof(frame)) < 0)
			return -EIO;
		pieces->ended = frame.kind != FRAME_PIECE;
		pieces->left = pieces->ended ? 0 : frame.size;
	}
	if (n > pieces->left)
		n = pieces->left;
	if (n == 0)
		return 0;
	r = read(pieces->fd, buffer, n);
	if (r <= 0)
		return -EIO;
	pieces->left -= (size_t)r;
	return r;
}

static int skip_pieces(struct pieces *pieces)
{
	char bytes[4096];
	ssize_t r;

	do
		r = read_piece(pieces, bytes, sizeof(bytes));
	while (r > 0);
	return (int)r;
}

static int answer(int fd, enum frame_kind kind, const void *bytes, size_t n)
{
	struct frame frame = {kind, (uint32_t)n};
	int r = write_whole(fd, &frame, sizeof(frame));

	return r < 0 ? r : write_whole(fd, bytes, n);
}

/* Takes what is left of the layer, and says how it went. */
static int answer_status(const struct child *child, struct pieces *pieces,
			 struct frame_status *status)
{
	int r = skip_pieces(pieces);

	return r < 0 ? r : answer(child->to, FRAME_STATUS, status, sizeof(*status));
}

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
	struct layer_log *log = layer_log_new(read_piece, &pieces);
	struct apply *apply = &unpacking->apply;
	struct frame_status status;

	if (!log)
		return -ENOMEM;
	status = status_of(apply, apply_log(apply, log));
	layer_log_free(log);
	return answer_status(unpacking->child, &pieces, &status);
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
	toc = toc_new(table.form, read_piece, &pieces);
	if (!toc)
		return -ENOMEM;
	status = status_of(apply, apply_table(apply, toc, keep_range, unpacking));
	toc_free(toc);
	return answer_status(unpacking->child, &pieces, &status);
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

static int hand_out(const struct child *child, struct tar *tar)
{
	static char bytes[FRAME_BYTES_MAX];
	ssize_t n;

	while ((n = tar_read(tar, bytes, sizeof(bytes))) > 0) {
		int r = answer(child->to, FRAME_CONTENT, bytes, (size_t)n);

		if (r < 0)
			return r;
	}
	return (int)n;
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
		if (answer(child->to, FRAME_BEGIN, NULL, 0) < 0)
			return -EPIPE;
		r = hand_out(child, tar);
		if (r < 0)
			return r;
		r = 1;
	}
	return 0;
}

static int extract(const struct child *child)
{
	struct pieces pieces = {.fd = child->from};
	struct tar *tar = tar_new(read_piece, &pieces);
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
	return answer_status(child, &pieces, &status);
}

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

	return n > 0 ? answer(names->child->to, FRAME_NAMES, names->bytes, n) : 0;
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

/* Whether an entry is likely to be asked for next: an image's configuration is one of its last. */
static bool is_likely(const struct names *names, const struct tar_entry *entry)
{
	static const char likely[] = "urunc.json";
	size_t n = strlen(entry->name), length = sizeof(likely) - 1;

	return entry->type == '0' && entry->size <= KEPT_SIZE_MAX && names->kept < KEPT_MAX &&
	       n >= length && strcmp(entry->name + n - length, likely) == 0;
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
		return 0;
	names->kept++;
	if (answer(names->child->to, FRAME_KEPT, &kept, sizeof(kept)) < 0)
		return -EPIPE;
	return hand_out(names->child, tar);
}

static int list_archive(void *argument)
{
	static struct names names;
	const struct child *child = argument;
	struct pieces pieces = {.fd = child->from};
	struct frame_status status = {.reason = "it is cut, or is no tar archive"};
	struct tar *tar = tar_new(read_piece, &pieces);
	struct tar_entry entry;
	int r = 1;

	names.child = child;
	if (!tar || confine(child) < 0 || names_put(&names, layer_log_header, LAYER_LOG_HEADER) < 0)
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
	return answer_status(child, &pieces, &status) < 0;
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
	return answer(child->to, FRAME_FOUND, &found, sizeof(found));
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
		r = confine(unpacking.child);
	while (r == 0)
		r = obey(&unpacking);
	/* The parent has gone, or has what it wanted. */
	return r == -EPIPE ? 0 : 1;
}

static pid_t start(int (*run)(void *argument), struct child *child)
{
	const int keep[] = {child->from, child->to};

	child->parent = getpid();
	return run_apart(run, child, keep, 2);
}

pid_t decoder_start(int blob, int to, const struct decoder_work *work)
{
	struct child child = {.from = blob, .to = to, .seconds = CHILD_SECONDS_MAX, .work = *work};
	struct stat st;

	if (fstat(blob, &st) == 0 && st.st_size / DECODER_BYTES_A_SECOND < CHILD_SECONDS_MAX)
		child.seconds = DECODER_SECONDS + (rlim_t)(st.st_size / DECODER_BYTES_A_SECOND);
	return start(decode, &child);
}

pid_t unpacker_child_start(int from, int to)
{
	return start(unpack_layers,
		     &(struct child){.from = from, .to = to, .seconds = CHILD_SECONDS_MAX});
}

pid_t lister_child_start(int from, int to)
{
	return start(list_archive,
		     &(struct child){.from = from, .to = to, .seconds = CHILD_SECONDS_MAX});
}
