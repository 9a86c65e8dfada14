/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/fill/unpacker.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "fuse/base/digest.h"
#include "fuse/base/io.h"
#include "fuse/base/messages.h"
#include "fuse/base/text.h"
#include "layerindex/blob/layer-log.h"
#include "layerindex/blob/stream.h"
#include "layerindex/hash/sha256.h"

/* What two processes may be apart: with the usual 64 KiB of a pipe a gzip layer took 15 %
 * more of the processors. */
enum { PIPE_BYTES = 1 << 20 };

static const char too_long[] = "it unpacks to more than 64 GiB";
static const char too_many[] = "it has too many or too large entries";

/* Starts a child that is told and answers by frames. */
static int start_child(pid_t (*child_start)(int from, int to), struct unpacker *ret,
		       struct view_error *error)
{
	cleanup_close int told = -EBADF, answers = -EBADF;
	int to[2], from[2];

	if (pipe2(to, O_CLOEXEC) < 0)
		return view_fail(error, MSG_SYSTEM, "pipe", strerror(errno));
	told = to[0];
	fcntl(told, F_SETPIPE_SZ, PIPE_BYTES);
	ret->to = to[1];
	if (pipe2(from, O_CLOEXEC) < 0)
		return view_fail(error, MSG_SYSTEM, "pipe", strerror(errno));
	answers = from[1];
	ret->from = from[0];
	/* What is told must not make this process wait while it is being answered. */
	if (fcntl(ret->to, F_SETFL, O_NONBLOCK) < 0)
		return view_fail(error, MSG_SYSTEM, "pipe", strerror(errno));
	ret->pid = child_start(told, answers);
	return ret->pid < 0 ? view_fail(error, MSG_SYSTEM, "fork", strerror(-ret->pid)) : 0;
}

int unpacker_start(struct unpacker *ret, struct view_error *error)
{
	return start_child(unpacker_child_start, ret, error);
}

void unpacker_stop(struct unpacker *unpacker)
{
	unpacker->to = close_keep_errno(unpacker->to);
	unpacker->from = close_keep_errno(unpacker->from);
	if (unpacker->pid > 0) {
		kill(unpacker->pid, SIGKILL);
		waitpid(unpacker->pid, NULL, 0);
	}
	unpacker->pid = -1;
}

static int fail(const struct unpacker_blob *blob, const char *reason, struct view_error *error)
{
	char text[DIGEST_TEXT_SIZE];

	digest_print(&blob->digest, text);
	return view_fail(error, MSG_BLOB, text, reason);
}

static int fail_limit(const struct unpacker_blob *blob, const char *reason,
		      struct view_error *error)
{
	char text[DIGEST_TEXT_SIZE];

	digest_print(&blob->digest, text);
	return view_fail(error, MSG_BLOB_LIMIT, text, reason);
}

/* Bytes on their way from the decoder to the unpacker, as frames. */
struct passage {
	const struct unpacker *unpacker;
	int decoder;			     /* the end that is read */
	const struct unpacker_blob *metered; /* what is decoded, if its progress is told; or NULL */
	bool ended;			     /* the decoder's bytes, with FRAME_END */
	size_t at, size;		     /* what of *bytes* is not written yet */
	int64_t plain_left;		     /* so many plain bytes may come yet */
	struct sha256 hash;		     /* of the plain bytes */
	int out;			     /* where content goes; < 0: there is none */
	int64_t content_left;		     /* so many bytes may come yet */
	/* Of an extraction: what begins, one after another. */
	const struct unpacker_wanted *wanted;
	size_t wanted_left;
	/* Of a listing. */
	struct layer_log_writer *log; /* borrowed, or NULL */
	struct unpacker_kept *kept;   /* what is kept for later; or NULL */
	int directory;		      /* where files without a name are made */
	struct frame_status status;
	char bytes[sizeof(struct frame) + FRAME_BYTES_MAX];
};

/* Puts a frame into the empty passage. */
static void put_frame(struct passage *passage, enum frame_kind kind, size_t n)
{
	struct frame frame = {kind, (uint32_t)n};

	memcpy(passage->bytes, &frame, sizeof(frame));
	passage->at = 0;
	passage->size = sizeof(frame) + n;
}

/* The decoder reads by the same description: it is known how far it is. */
static void tell_progress(const struct unpacker_blob *blob)
{
	off_t at = blob->tell ? lseek(blob->fd, 0, SEEK_CUR) : -1;

	if (at >= 0)
		blob->tell(blob->context, (uint64_t)at);
}

static int take_plain(struct passage *passage)
{
	char *bytes = passage->bytes + sizeof(struct frame);
	ssize_t n;

	do
		n = read(passage->decoder, bytes, FRAME_BYTES_MAX);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	passage->ended = n == 0;
	passage->plain_left -= n;
	if (passage->plain_left < 0)
		return -E2BIG;
	if (n > 0)
		sha256_add(&passage->hash, bytes, (size_t)n);
	put_frame(passage, n > 0 ? FRAME_PIECE : FRAME_END, (size_t)n);
	if (passage->metered)
		tell_progress(passage->metered);
	return 0;
}

static int pass_on(struct passage *passage)
{
	ssize_t n = write(passage->unpacker->to, passage->bytes + passage->at,
			  passage->size - passage->at);

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	passage->at += (size_t)n;
	return 0;
}

static int write_out(struct passage *passage, size_t n)
{
	static char bytes[FRAME_BYTES_MAX];
	int r;

	if (n > sizeof(bytes) || passage->out < 0 || (int64_t)n > passage->content_left)
		return -EIO;
	r = read_whole(passage->unpacker->from, bytes, n);
	passage->content_left -= (int64_t)n;
	return r < 0 ? r : write_whole(passage->out, bytes, n);
}

/* Goes to the next file that content is for; the one before it must be complete. */
static int begin_content(struct passage *passage, int out, int64_t size)
{
	if (passage->content_left != 0)
		return -EIO;
	passage->out = out;
	passage->content_left = size;
	return 0;
}

static int begin_wanted(struct passage *passage)
{
	const struct unpacker_wanted *wanted = passage->wanted;

	if (passage->wanted_left == 0)
		return -EIO;
	passage->wanted++;
	passage->wanted_left--;
	return begin_content(passage, wanted->out, wanted->size);
}

static int begin_kept(struct passage *passage)
{
	struct unpacker_kept *kept = passage->kept;
	struct frame_kept told;
	int r = read_whole(passage->unpacker->from, &told, sizeof(told));
	int fd;

	if (r < 0)
		return r;
	if (!kept || kept->count == KEPT_MAX || told.size < 0 || told.size > KEPT_SIZE_MAX)
		return -EIO;
	fd = openat(passage->directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	kept->entries[kept->count] = told.entry;
	kept->fds[kept->count++] = fd;
	return begin_content(passage, fd, told.size);
}

/* Compresses a part of a name log. */
static int take_names(struct passage *passage, size_t n)
{
	static char bytes[FRAME_BYTES_MAX];
	int r;

	if (n == 0 || n > sizeof(bytes) || !passage->log)
		return -EIO;
	r = read_whole(passage->unpacker->from, bytes, n);
	return r < 0 ? r : layer_log_writer_add(passage->log, bytes, n);
}

/* Takes an answer. Returns: > 0: it was the last one; 0; or -errno. */
static int take_answer(struct passage *passage)
{
	struct frame frame;
	int r = read_whole(passage->unpacker->from, &frame, sizeof(frame));

	if (r < 0)
		return r;
	switch (frame.kind) {
	case FRAME_CONTENT: return write_out(passage, frame.size);
	case FRAME_BEGIN: return frame.size == 0 ? begin_wanted(passage) : -EIO;
	case FRAME_KEPT:
		return frame.size == sizeof(struct frame_kept) ? begin_kept(passage) : -EIO;
	case FRAME_NAMES: return take_names(passage, frame.size);
	default: break;
	}
	if (frame.kind != FRAME_STATUS || frame.size != sizeof(passage->status))
		return -EIO;
	r = read_whole(passage->unpacker->from, &passage->status, sizeof(passage->status));
	passage->status.reason[sizeof(passage->status.reason) - 1] = '\0';
	passage->status.name[sizeof(passage->status.name) - 1] = '\0';
	return r < 0 ? r : 1;
}

/* Moves all plain bytes of a layer. Returns: 0, with the unpacker's status; or -errno. */
static int pass_layer(struct passage *passage)
{
	int r = 0;

	while (r == 0) {
		bool empty = passage->at == passage->size;
		struct pollfd fds[] = {
			{.fd = passage->unpacker->from, .events = POLLIN},
			{.fd = empty ? -1 : passage->unpacker->to, .events = POLLOUT},
			{.fd = empty && !passage->ended ? passage->decoder : -1, .events = POLLIN},
		};

		if (poll(fds, 3, -1) < 0) {
			r = errno == EINTR ? 0 : -errno;
			continue;
		}
		if (fds[0].revents)
			r = take_answer(passage);
		else if (fds[1].revents)
			r = pass_on(passage);
		else if (fds[2].revents)
			r = take_plain(passage);
	}
	/* An answer before the layer's end is none. */
	return r > 0 && passage->ended ? 0 : r < 0 ? r : -EIO;
}

/* Says what is wrong with a layer, and at which entry. */
static int fail_entry(const struct passage *passage, const struct unpacker_blob *blob, bool limit,
		      const char *reason, struct view_error *error)
{
	cleanup_free char *name = text_printable(passage->status.name);
	size_t entry = (size_t)passage->status.entry;
	char digest[DIGEST_TEXT_SIZE];

	if (!name)
		return view_fail(error, MSG_NO_MEMORY);
	digest_print(&blob->digest, digest);
	if (limit)
		return view_fail(error, MSG_BLOB_ENTRY_LIMIT, digest, entry, name, reason);
	return view_fail(error, MSG_BLOB_ENTRY, digest, entry, name, reason);
}

/* Waits for the decoder. *r* is how passing on ended. Returns: 0, or < 0 with *error*. */
static int finish_decoder(const struct passage *passage, pid_t pid, int r,
			  const struct unpacker_blob *blob, struct view_error *error)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return view_fail(error, MSG_SYSTEM, "decoder", strerror(errno));
	if (r == -E2BIG)
		return fail_limit(blob, too_long, error);
	if (r == -EFBIG)
		return fail_limit(blob, too_many, error);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
		return fail_limit(blob, "decoding it takes too long", error);
	switch (WIFEXITED(status) ? WEXITSTATUS(status) : -1) {
	case DECODER_DONE: return 0;
	case DECODER_DAMAGED:
		return fail_entry(passage, blob, false, "it is cut or damaged", error);
	case DECODER_PLAIN_LIMIT: return fail_limit(blob, too_long, error);
	case DECODER_WINDOW_LIMIT:
		return fail_limit(blob, "decoding it takes a window of more than 256 MiB", error);
	default: return view_fail(error, MSG_SYSTEM, "decoder", "it ended early");
	}
}

/* Says what the unpacker, or the lister, did not accept. Returns: 0, or < 0 with *error*. */
static int check_status(const struct passage *passage, const struct unpacker_blob *blob,
			struct view_error *error)
{
	cleanup_free char *reason = text_printable(passage->status.reason);

	if (!reason)
		return view_fail(error, MSG_NO_MEMORY);
	switch (passage->status.result) {
	case 0: return 0;
	case -EBADMSG: return fail_entry(passage, blob, false, reason, error);
	case -EPROTONOSUPPORT:
		return fail_limit(blob, "a whiteout removes a file of its own layer", error);
	/* An unpacker may have CHILD_MEMORY_MAX bytes. */
	case -ENOMEM:
	case -E2BIG: return fail_entry(passage, blob, true, too_many, error);
	default: return view_fail(error, MSG_SYSTEM, "unpacker", "it failed");
	}
}

/* What came out is the layer, and was accepted. */
static int check_layer(struct passage *passage, const struct unpacker_blob *blob,
		       struct view_error *error)
{
	struct li_digest found = {};

	sha256_finish(&passage->hash, found.bytes);
	if (!li_digest_equal(&found, &blob->diff_id))
		return fail(blob, "its plain bytes have another digest than its diff id", error);
	return check_status(passage, blob, error);
}

/* A decoder at work. */
struct decoder {
	pid_t pid;
	int from; /* the end that is read; owned */
};

static int start_decoder(const struct decoder_work *work, int blob, struct decoder *ret,
			 struct view_error *error)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return view_fail(error, MSG_SYSTEM, "pipe", strerror(errno));
	fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
	*ret = (struct decoder){.pid = decoder_start(blob, ends[1], work), .from = ends[0]};
	close(ends[1]);
	if (ret->pid >= 0)
		return 0;
	close(ends[0]);
	return view_fail(error, MSG_SYSTEM, "fork", strerror(-ret->pid));
}

/*
 * Decodes what is at *fd*, and gives the unpacker the plain bytes.
 * Returns: 0, with their hash and the unpacker's status in the passage, or < 0 with *error*.
 */
static int run(struct passage *passage, const struct decoder_work *work, int fd,
	       const struct unpacker_blob *blob, struct view_error *error)
{
	struct decoder decoder = {.pid = -1, .from = -EBADF};
	int r;

	if (start_decoder(work, fd, &decoder, error) < 0)
		return -ECANCELED;
	passage->decoder = decoder.from;
	sha256_start(&passage->hash);
	r = pass_layer(passage);
	/* Where that went wrong the decoder may wait to be read. */
	close(decoder.from);
	if (r == -E2BIG || r == -EFBIG)
		kill(decoder.pid, SIGKILL);
	if (finish_decoder(passage, decoder.pid, r, blob, error) < 0)
		return -ECANCELED;
	return r < 0 ? view_fail(error, MSG_SYSTEM, "unpacker", strerror(-r)) : 0;
}

static struct passage *passage_new(const struct unpacker *unpacker, struct view_error *error)
{
	struct passage *passage = calloc(1, sizeof(*passage));

	if (!passage)
		view_fail(error, MSG_NO_MEMORY);
	else
		*passage = (struct passage){
			.unpacker = unpacker,
			.plain_left = STREAM_PLAIN_MAX,
			.out = -EBADF,
		};
	return passage;
}

int unpacker_add_log(const struct unpacker *unpacker, const struct unpacker_blob *blob, int log,
		     struct view_error *error)
{
	cleanup_free struct passage *passage = passage_new(unpacker, error);

	if (!passage)
		return -ECANCELED;
	put_frame(passage, FRAME_LOG, 0);
	if (lseek(log, 0, SEEK_SET) < 0)
		return view_fail(error, MSG_SYSTEM, "names", strerror(errno));
	if (run(passage, &DECODE_ALL, log, blob, error) < 0)
		return -ECANCELED;
	return check_status(passage, blob, error);
}

static void free_log_writer(struct layer_log_writer **writer)
{
	layer_log_writer_free(*writer);
}
DEFINE_CLEANUP(struct layer_log_writer *, free_log_writer)

void unpacker_kept_done(struct unpacker_kept *kept)
{
	while (kept->count > 0)
		close(kept->fds[--kept->count]);
}

int unpacker_list(const struct unpacker_blob *blob, int log, int directory,
		  struct unpacker_kept *ret, struct view_error *error)
{
	cleanup_with(free_log_writer) struct layer_log_writer *writer = layer_log_writer_new(log);
	cleanup_with(unpacker_kept_done) struct unpacker_kept kept = {};
	cleanup_with(unpacker_stop) struct unpacker lister = UNPACKER_INIT;
	cleanup_free struct passage *passage = passage_new(&lister, error);
	int r;

	if (!writer)
		return view_fail(error, MSG_NO_MEMORY);
	if (!passage || start_child(lister_child_start, &lister, error) < 0)
		return -ECANCELED;
	passage->log = writer;
	passage->kept = &kept;
	passage->directory = directory;
	passage->metered = blob;
	if (run(passage, &DECODE_ALL, blob->fd, blob, error) < 0 ||
	    check_layer(passage, blob, error) < 0)
		return -ECANCELED;
	if (passage->content_left != 0)
		return fail(blob, "a file in it is cut", error);
	r = layer_log_writer_add(writer, NULL, 0);
	if (r == -EFBIG)
		return fail_limit(blob, too_many, error);
	if (r < 0)
		return view_fail(error, MSG_SYSTEM, "names", strerror(-r));
	*ret = TAKE(kept, (struct unpacker_kept){});
	return 0;
}

/* The table is what the manifest vouches for, and the unpacker accepted it. */
static int check_table(struct passage *passage, const struct blob_table *table,
		       const struct unpacker_blob *blob, struct view_error *error)
{
	struct li_digest found = {};

	sha256_finish(&passage->hash, found.bytes);
	if (passage->status.result < 0 ||
	    (table->form == TOC_ESTARGZ && !li_digest_equal(&found, &table->digest)))
		return fail(blob, "its table of contents is not usable", error);
	return 0;
}

int unpacker_add_table(const struct unpacker *unpacker, const struct unpacker_blob *blob,
		       const struct blob_table *table, struct view_error *error)
{
	cleanup_free struct passage *passage = passage_new(unpacker, error);
	struct decoder_work work = {.length = TOC_PLAIN_MAX, .table = table->form == TOC_ESTARGZ};
	struct frame_table told = {table->form};
	cleanup_close int fd = -EBADF;
	int r;

	if (!passage)
		return -ECANCELED;
	r = blob_table_open(table, blob->fd, &fd, &work.size);
	if (r < 0)
		return fail(blob, "its table of contents is not what the manifest says", error);
	memcpy(passage->bytes + sizeof(struct frame), &told, sizeof(told));
	put_frame(passage, FRAME_TABLE, sizeof(told));
	passage->plain_left = TOC_PLAIN_MAX;
	if (run(passage, &work, fd, blob, error) < 0)
		return -ECANCELED;
	return check_table(passage, table, blob, error);
}

int unpacker_extract(const struct unpacker *unpacker, const struct unpacker_blob *blob,
		     const struct unpacker_wanted *wanted, size_t n, struct view_error *error)
{
	cleanup_free struct passage *passage = passage_new(unpacker, error);
	struct frame_extract told = {.count = (uint32_t)n};

	if (!passage)
		return -ECANCELED;
	for (size_t i = 0; i < n; i++) {
		if (wanted[i].size > EXTRACT_SIZE_MAX)
			return fail_limit(blob, "an artifact is larger than 4 GiB", error);
		told.entries[i] = wanted[i].entry;
	}
	memcpy(passage->bytes + sizeof(struct frame), &told, sizeof(told));
	put_frame(passage, FRAME_EXTRACT, sizeof(told));
	passage->wanted = wanted;
	passage->wanted_left = n;
	passage->metered = blob;
	if (run(passage, &DECODE_ALL, blob->fd, blob, error) < 0 ||
	    check_layer(passage, blob, error) < 0)
		return -ECANCELED;
	if (passage->content_left != 0 || passage->wanted_left != 0)
		return fail(blob, "an artifact is cut", error);
	return 0;
}

/* Moves what a decoder of *blob* hands out. Returns: 0, with the hash of all; -EBADMSG: it is not
 * *size* bytes; or -errno. */
static int copy_range(const struct unpacker_blob *blob, int from, int out, int64_t size,
		      struct li_digest *ret)
{
	static char bytes[FRAME_BYTES_MAX];
	struct sha256 hash;
	ssize_t n = 1;
	int r;

	sha256_start(&hash);
	while (n > 0) {
		do
			n = read(from, bytes, sizeof(bytes));
		while (n < 0 && errno == EINTR);
		size -= n;
		if (n < 0 || size < 0)
			return n < 0 ? -errno : -EBADMSG;
		sha256_add(&hash, bytes, (size_t)n);
		tell_progress(blob);
		r = write_whole(out, bytes, (size_t)n);
		if (r < 0)
			return r;
	}
	sha256_finish(&hash, ret->bytes);
	return size == 0 ? 0 : -EBADMSG;
}

int unpacker_extract_range(const struct unpacker_blob *blob, const struct unpacked *what, int out,
			   struct view_error *error)
{
	const struct toc_range *range = &what->range;
	struct decoder_work work = {
		.size = range->end > 0 ? range->end - range->offset : STREAM_TO_END,
		.skip = range->skip,
		.length = what->st.st_size,
	};
	struct li_digest found;
	struct decoder decoder = {.pid = -1, .from = -EBADF};
	int r;

	if (range->offset <= 0 || range->skip < 0 || work.size <= 0 ||
	    lseek(blob->fd, range->offset, SEEK_SET) < 0)
		return fail(blob, "its table of contents is not usable", error);
	if (what->st.st_size > EXTRACT_SIZE_MAX)
		return fail_limit(blob, "an artifact is larger than 4 GiB", error);
	if (start_decoder(&work, blob->fd, &decoder, error) < 0)
		return -ECANCELED;
	r = copy_range(blob, decoder.from, out, what->st.st_size, &found);
	close(decoder.from);
	kill(decoder.pid, SIGKILL);
	waitpid(decoder.pid, NULL, 0);
	if (r == -EBADMSG || (r == 0 && !li_digest_equal(&found, &range->digest)))
		return fail(blob, "a file is not what its table of contents says", error);
	return r < 0 ? view_fail(error, MSG_SYSTEM, "decoder", strerror(-r)) : 0;
}

int unpacker_find(const struct unpacker *unpacker, const char *path, struct unpacked *ret)
{
	struct frame frame = {FRAME_FIND, (uint32_t)strlen(path) + 1};
	struct frame_found found;
	char told[sizeof(frame) + FRAME_TEXT_MAX];

	if (frame.size > FRAME_TEXT_MAX)
		return -ENAMETOOLONG;
	memcpy(told, &frame, sizeof(frame));
	memcpy(told + sizeof(frame), path, frame.size);
	/* Nothing else is in the pipe, which holds more than this. */
	if (write(unpacker->to, told, sizeof(frame) + frame.size) !=
	    (ssize_t)(sizeof(frame) + frame.size))
		return -EIO;
	if (read_whole(unpacker->from, &frame, sizeof(frame)) < 0 || frame.kind != FRAME_FOUND ||
	    frame.size != sizeof(found) || read_whole(unpacker->from, &found, sizeof(found)) < 0)
		return -EIO;
	if (found.result < 0)
		return found.result == -ENOENT || found.result == -ENOTDIR ||
				       found.result == -ELOOP || found.result == -ENAMETOOLONG
			       ? found.result
			       : -EIO;
	if (found.size < 0 || found.nanoseconds > 999999999)
		return -EIO;
	*ret = (struct unpacked){
		.st = {.st_mode = found.mode & (S_IFMT | 07777),
		       .st_uid = found.uid,
		       .st_gid = found.gid,
		       .st_size = found.size,
		       .st_mtim = {found.seconds, (long)found.nanoseconds}},
		.layer = found.layer,
		.entry = found.entry,
		.range = found.range,
	};
	memcpy(ret->path, found.path, sizeof(ret->path));
	ret->path[sizeof(ret->path) - 1] = '\0';
	return 0;
}
