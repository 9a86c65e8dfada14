/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/fill/unpacker.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "fuse/base/digest.h"
#include "fuse/base/messages.h"
#include "fuse/base/text.h"
#include "fuse/fill/decoder.h"
#include "fuse/fill/lister.h"
#include "fuse/fill/unpacker-child.h"
#include "layerindex/blob/stream.h"
#include "layerindex/file/whole.h"

static const char too_long[] = "it unpacks to more than 64 GiB";
static const char too_many[] = "it has too many or too large entries";

/* The other ends of a child's pipes. */
struct child_ends {
	int told, answers; /* owned */
};

static void close_ends(struct child_ends *ends)
{
	ends->told = close_keep_errno(ends->told);
	ends->answers = close_keep_errno(ends->answers);
}
DEFINE_CLEANUP(struct child_ends, close_ends)

static int open_pipes(struct unpacker *ret, struct child_ends *ret_ends, struct view_error *error)
{
	int to[2], from[2];

	if (pipe2(to, O_CLOEXEC) < 0)
		return view_fail(error, MSG_SYSTEM, "pipe", strerror(errno));
	ret_ends->told = to[0];
	fcntl(to[0], F_SETPIPE_SZ, PIPE_BYTES);
	ret->to = to[1];
	if (pipe2(from, O_CLOEXEC) < 0)
		return view_fail(error, MSG_SYSTEM, "pipe", strerror(errno));
	ret_ends->answers = from[1];
	ret->from = from[0];
	/* What is told must not make this process wait while it is being answered. */
	if (fcntl(ret->to, F_SETFL, O_NONBLOCK) < 0)
		return view_fail(error, MSG_SYSTEM, "pipe", strerror(errno));
	return 0;
}

int unpacker_start(uint32_t layers, struct unpacker *ret, struct view_error *error)
{
	cleanup_with(close_ends) struct child_ends ends = {-EBADF, -EBADF};

	if (open_pipes(ret, &ends, error) < 0)
		return -ECANCELED;
	ret->pid = unpacker_child_start(ends.told, ends.answers, layers);
	return ret->pid < 0 ? view_fail(error, MSG_SYSTEM, "fork", strerror(-ret->pid)) : 0;
}

static int start_lister(struct unpacker *ret, struct view_error *error)
{
	cleanup_with(close_ends) struct child_ends ends = {-EBADF, -EBADF};

	if (open_pipes(ret, &ends, error) < 0)
		return -ECANCELED;
	ret->pid = lister_start(ends.told, ends.answers);
	return ret->pid < 0 ? view_fail(error, MSG_SYSTEM, "fork", strerror(-ret->pid)) : 0;
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

static int fail(const struct opened_blob *blob, const char *reason, struct view_error *error)
{
	char text[DIGEST_TEXT_SIZE];

	digest_print(&blob->digest, text);
	return view_fail(error, MSG_BLOB, text, reason);
}

static int fail_limit(const struct opened_blob *blob, const char *reason, struct view_error *error)
{
	char text[DIGEST_TEXT_SIZE];

	digest_print(&blob->digest, text);
	return view_fail(error, MSG_BLOB_LIMIT, text, reason);
}

/* Says what is wrong with a layer, and at which entry. */
static int fail_entry(const struct frame_status *status, const struct opened_blob *blob, bool limit,
		      const char *reason, struct view_error *error)
{
	cleanup_free char *name = text_printable(status->name);
	size_t entry = (size_t)status->entry;
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
			  const struct opened_blob *blob, struct view_error *error)
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
		return fail_entry(&passage->status, blob, false, "it is cut or damaged", error);
	case DECODER_PLAIN_LIMIT: return fail_limit(blob, too_long, error);
	case DECODER_WINDOW_LIMIT:
		return fail_limit(blob, "decoding it takes a window of more than 256 MiB", error);
	default: return view_fail(error, MSG_SYSTEM, "decoder", "it ended early");
	}
}

int unpacker_fail(const struct opened_blob *blob, const struct frame_status *status,
		  struct view_error *error)
{
	cleanup_free char *reason = text_printable(status->reason);

	if (!reason)
		return view_fail(error, MSG_NO_MEMORY);
	switch (status->result) {
	case -EBADMSG: return fail_entry(status, blob, false, reason, error);
	case -EPROTONOSUPPORT:
		return fail_limit(blob, "a whiteout removes a file of its own layer", error);
	/* An unpacker may have CHILD_MEMORY_MAX bytes. */
	case -ENOMEM:
	case -E2BIG: return fail_entry(status, blob, true, too_many, error);
	default: return view_fail(error, MSG_SYSTEM, "unpacker", "it failed");
	}
}

/* Says what the unpacker, or the lister, did not accept. Returns: 0, or < 0 with *error*. */
static int check_status(const struct passage *passage, const struct opened_blob *blob,
			struct view_error *error)
{
	return passage->status.result == 0 ? 0 : unpacker_fail(blob, &passage->status, error);
}

/* What came out is the layer, and was accepted. */
static int check_layer(struct passage *passage, const struct opened_blob *blob,
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
	       const struct opened_blob *blob, struct view_error *error)
{
	struct decoder decoder = {.pid = -1, .from = -EBADF};
	int r;

	if (start_decoder(work, fd, &decoder, error) < 0)
		return -ECANCELED;
	passage->decoder = decoder.from;
	sha256_start(&passage->hash);
	r = passage_run(passage);
	/* Where that went wrong the decoder may wait to be read. */
	close(decoder.from);
	if (r == -E2BIG || r == -EFBIG)
		kill(decoder.pid, SIGKILL);
	if (finish_decoder(passage, decoder.pid, r, blob, error) < 0)
		return -ECANCELED;
	return r < 0 ? view_fail(error, MSG_SYSTEM, "unpacker", strerror(-r)) : 0;
}

static struct passage *open_passage(const struct unpacker *unpacker, struct view_error *error)
{
	struct passage *passage = passage_new(unpacker->from, unpacker->to);

	if (passage)
		passage->plain_left = STREAM_PLAIN_MAX;
	else
		view_fail(error, MSG_NO_MEMORY);
	return passage;
}

/* Puts what must be read next into the passage. */
static void put_layer(struct passage *passage, enum frame_kind kind, uint32_t layer, uint32_t form)
{
	struct frame_layer told = {layer, form};

	memcpy(passage_room(passage), &told, sizeof(told));
	passage_put_frame(passage, kind, sizeof(told));
}

int unpacker_read_log(const struct unpacker *unpacker, const struct opened_blob *blob,
		      uint32_t layer, int log, struct view_error *error)
{
	cleanup_with(passage_free) struct passage *passage = open_passage(unpacker, error);

	if (!passage)
		return -ECANCELED;
	put_layer(passage, FRAME_LOG, layer, TOC_NONE);
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

int unpacker_list(const struct opened_blob *blob, int log, int directory, struct kept_files *ret,
		  struct view_error *error)
{
	cleanup_with(free_log_writer) struct layer_log_writer *writer = layer_log_writer_new(log);
	cleanup_with(kept_files_done) struct kept_files kept = {.room = ret->room};
	cleanup_with(unpacker_stop) struct unpacker lister = UNPACKER_INIT;
	cleanup_with(passage_free) struct passage *passage = NULL;
	int r;

	if (!writer)
		return view_fail(error, MSG_NO_MEMORY);
	if (start_lister(&lister, error) < 0)
		return -ECANCELED;
	passage = open_passage(&lister, error);
	if (!passage)
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
	*ret = TAKE(kept, (struct kept_files){});
	return 0;
}

/* The table is what the manifest vouches for, and the unpacker accepted it. */
static int check_table(struct passage *passage, const struct blob_table *table,
		       const struct opened_blob *blob, struct view_error *error)
{
	struct li_digest found = {};

	sha256_finish(&passage->hash, found.bytes);
	if (passage->status.result < 0 ||
	    (table->form == TOC_ESTARGZ && !li_digest_equal(&found, &table->digest)))
		return fail(blob, "its table of contents is not usable", error);
	return 0;
}

int unpacker_read_table(const struct unpacker *unpacker, const struct opened_blob *blob,
			uint32_t layer, const struct blob_table *table, struct view_error *error)
{
	cleanup_with(passage_free) struct passage *passage = open_passage(unpacker, error);
	struct decoder_work work = {.length = TOC_PLAIN_MAX, .table = table->form == TOC_ESTARGZ};
	cleanup_close int fd = -EBADF;
	int r;

	if (!passage)
		return -ECANCELED;
	r = blob_table_open(table, blob->fd, &fd, &work.size);
	if (r < 0)
		return fail(blob, "its table of contents is not what the manifest says", error);
	put_layer(passage, FRAME_TABLE, layer, table->form);
	passage->plain_left = TOC_PLAIN_MAX;
	if (run(passage, &work, fd, blob, error) < 0)
		return -ECANCELED;
	return check_table(passage, table, blob, error);
}

int unpacker_extract(const struct unpacker *unpacker, const struct opened_blob *blob,
		     const struct wanted_content *wanted, size_t n, struct view_error *error)
{
	cleanup_with(passage_free) struct passage *passage = open_passage(unpacker, error);
	struct frame_extract told = {.count = (uint32_t)n};

	if (!passage)
		return -ECANCELED;
	for (size_t i = 0; i < n; i++) {
		if (wanted[i].size > EXTRACT_SIZE_MAX)
			return fail_limit(blob, "an artifact is larger than 4 GiB", error);
		told.entries[i] = wanted[i].entry;
	}
	memcpy(passage_room(passage), &told, sizeof(told));
	passage_put_frame(passage, FRAME_EXTRACT, sizeof(told));
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
static int copy_range(const struct opened_blob *blob, int from, int out, int64_t size,
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
		blob_tell(blob);
		r = write_whole(out, bytes, (size_t)n);
		if (r < 0)
			return r;
	}
	sha256_finish(&hash, ret->bytes);
	return size == 0 ? 0 : -EBADMSG;
}

int unpacker_extract_range(const struct opened_blob *blob, const struct unpacked *what, int out,
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

/* Returns: what unpacker_find() returns of a result that is none. */
static int set_failure(const struct frame_found *found, struct unpacked *ret)
{
	*ret = (struct unpacked){.layer = found->layer, .status = found->status};
	ret->status.result = found->result;
	ret->status.reason[sizeof(ret->status.reason) - 1] = '\0';
	ret->status.name[sizeof(ret->status.name) - 1] = '\0';
	switch (found->result) {
	case -ENOENT:
	case -ENOTDIR:
	case -ELOOP:
	case -ENAMETOOLONG:
	case -EAGAIN: return found->result;
	case -EBADMSG:
	case -EPROTONOSUPPORT:
	case -E2BIG:
	case -ENOMEM: return -EBADMSG;
	default: return -EIO;
	}
}

/* Between layers little is in the pipe, which holds some paths more. */
static int tell_path(const struct unpacker *unpacker, enum frame_kind kind, const char *path)
{
	struct frame frame = {kind, (uint32_t)strlen(path) + 1};
	char told[sizeof(frame) + FRAME_TEXT_MAX];
	ssize_t n = (ssize_t)(sizeof(frame) + frame.size);

	if (frame.size > FRAME_TEXT_MAX)
		return -ENAMETOOLONG;
	memcpy(told, &frame, sizeof(frame));
	memcpy(told + sizeof(frame), path, frame.size);
	return write(unpacker->to, told, (size_t)n) == n ? 0 : -EIO;
}

void unpacker_expect(const struct unpacker *unpacker, const char *path)
{
	tell_path(unpacker, FRAME_EXPECT, path);
}

int unpacker_find(const struct unpacker *unpacker, const char *path, struct unpacked *ret)
{
	int r = tell_path(unpacker, FRAME_FIND, path);
	struct frame_found found;
	struct frame frame;

	if (r < 0)
		return r;
	if (read_whole(unpacker->from, &frame, sizeof(frame)) < 0 || frame.kind != FRAME_FOUND ||
	    frame.size != sizeof(found) || read_whole(unpacker->from, &found, sizeof(found)) < 0)
		return -EIO;
	if (found.result != 0)
		return set_failure(&found, ret);
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
