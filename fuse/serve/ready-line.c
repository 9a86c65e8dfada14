/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/serve/ready-line.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fuse/base/clock.h"
#include "fuse/base/json-writer.h"
#include "fuse/base/log.h"
#include "fuse/base/text.h"
#include "fuse/live/view-answer.h"
#include "fuse/process/sandbox.h"

enum {
	/*
	 * Bytes of a name as it is shown. The origin, which is for people, may be longer than any
	 * path: behind many links it is cut in the ready line, too.
	 */
	ORIGIN_SHOWN = 4096,
	NAME_SHOWN = 400, /* in an answer that would be too long otherwise */
};

/* A line in the making. */
struct line {
	struct json_writer writer;
	size_t name_max; /* bytes of a name as it is shown */
	bool cut;	 /* some name was longer */
};

#define LINE_INIT ((struct line){.name_max = SIZE_MAX})

static void line_done(struct line *line)
{
	json_writer_done(&line->writer);
}
DEFINE_CLEANUP(struct line, line_done)

static void write_name(struct line *line, const char *name, size_t max)
{
	line->cut |=
		!json_writer_name(&line->writer, name, max < line->name_max ? max : line->name_max);
}

static void write_artifact(struct line *line, const struct artifact *artifact, bool has_layer)
{
	json_writer_print(&line->writer, "{\"role\":\"%s\",\"path\":", roles_name(artifact->roles));
	write_name(line, artifact->path, SIZE_MAX);
	if (has_layer)
		json_writer_print(&line->writer, ",\"layer\":%zu", artifact->layer);
	json_writer_print(&line->writer, ",\"origin\":");
	write_name(line, artifact->origin, ORIGIN_SHOWN);
	json_writer_print(&line->writer, ",\"size\":%jd", (intmax_t)artifact->st.st_size);
	if (artifact->digest.given) {
		char digest[DIGEST_TEXT_SIZE];

		digest_print(&artifact->digest.digest, digest);
		json_writer_print(&line->writer, ",\"digest\":\"%s\"", digest);
	}
	json_writer_print(&line->writer, "}");
}

/* Those that are ready. */
static void write_artifacts(struct line *line, const struct view *view)
{
	const char *comma = "";

	json_writer_print(&line->writer, ",\"artifacts\":[");
	for (size_t i = 0; i < view->artifact_count; i++) {
		if (view->artifacts[i].state != ARTIFACT_READY)
			continue;
		json_writer_print(&line->writer, "%s", comma);
		write_artifact(line, &view->artifacts[i], view->image.layers > 0);
		comma = ",";
	}
	json_writer_print(&line->writer, "]");
}

/* Those that are not there; of a view that has all there is no such key. */
static void write_missing(struct line *line, const struct view *view)
{
	const char *before = ",\"missing\":[";

	for (size_t i = 0; i < view->artifact_count; i++) {
		if (!artifact_is_missing(&view->artifacts[i]))
			continue;
		json_writer_print(&line->writer, "%s", before);
		write_name(line, view->artifacts[i].path, SIZE_MAX);
		before = ",";
	}
	if (strcmp(before, ",") == 0)
		json_writer_print(&line->writer, "]");
}

static void write_image(struct json_writer *writer, const struct image *image)
{
	char digest[DIGEST_TEXT_SIZE];

	digest_print(&image->key.id, digest);
	if (image->layers > 0)
		json_writer_print(writer, ",\"image\":{\"layers\":%zu}", image->layers);
	else
		json_writer_print(writer, ",\"image\":{\"%s\":\"%s\"}", image_key_name(&image->key),
				  digest);
}

/* All of the ready line but the brace that closes it. */
static void write_ready(struct line *line, const struct view_facts *facts)
{
	json_writer_print(&line->writer, "{\"ready\":true,");
	if (facts->id) {
		json_writer_print(&line->writer, "\"id\":");
		/* Short, and what a view is looked for by. */
		json_writer_string(&line->writer, facts->id);
		json_writer_print(&line->writer, ",");
	}
	json_writer_print(&line->writer, "\"mountpoint\":");
	if (facts->mountpoint)
		write_name(line, facts->mountpoint, SIZE_MAX);
	else
		json_writer_print(&line->writer, "null,\"detached\":true");
	json_writer_print(&line->writer, ",\"passthrough\":%s,\"elapsed_us\":%" PRIu64,
			  facts->passthrough ? "true" : "false", facts->elapsed_us);
	write_image(&line->writer, &facts->view->image);
	json_writer_print(&line->writer, ",\"connection\":%u", facts->connection);
	if (facts->shall_survive)
		json_writer_print(&line->writer, ",\"survives\":%s",
				  facts->survives ? "true" : "false");
	if (view_all_resolved(facts->view)) {
		write_artifacts(line, facts->view);
		write_missing(line, facts->view);
	}
}

char *report_ready_line(const struct view_facts *facts)
{
	cleanup_with(line_done) struct line line = LINE_INIT;

	write_ready(&line, facts);
	json_writer_print(&line.writer, "}");
	return json_writer_take(&line.writer);
}

/* The names of the measures in force. */
static void write_sandbox(struct json_writer *writer, unsigned measures)
{
	const char *before = ",\"sandbox\":[";

	for (int i = 0; i < SANDBOX_COUNT; i++) {
		if (!(measures & 1U << i))
			continue;
		json_writer_print(writer, "%s\"%s\"", before, sandbox_names[i]);
		before = ",";
	}
	if (measures)
		json_writer_print(writer, "]");
}

static char *make_answer(const struct view_facts *facts, size_t name_max)
{
	cleanup_with(line_done) struct line line = {.name_max = name_max};

	write_ready(&line, facts);
	write_sandbox(&line.writer, facts->sandboxed);
	if (facts->standby)
		json_writer_print(&line.writer, ",\"standby\":%d", facts->standby->parent);
	if (facts->standby || facts->generation > 0)
		json_writer_print(&line.writer, ",\"generation\":%u",
				  facts->generation +
					  (facts->standby ? facts->standby->generation : 1));
	json_writer_print(&line.writer, ",\"version\":\"%s\",\"pid\":%d,\"fingerprint\":\"%s\"%s}",
			  facts->version, facts->pid, facts->fingerprint,
			  line.cut ? ",\"cut\":true" : "");
	return json_writer_take(&line.writer);
}

void view_facts_complete(struct view_facts *facts)
{
	if (!*facts->fingerprint)
		view_fingerprint(facts->view, facts->options, facts->fingerprint);
}

char *report_answer(struct view_facts *facts)
{
	cleanup_free char *whole = NULL;

	view_facts_complete(facts);
	whole = make_answer(facts, SIZE_MAX);
	if (!whole || strlen(whole) < VIEW_ANSWER_MAX)
		return TAKE_PTR(whole);
	return make_answer(facts, NAME_SHOWN);
}

void report_failure_line(char line[static FAILURE_LINE_SIZE], const struct view_error *error)
{
	char message[2 * MESSAGE_SIZE];

	text_json(message, sizeof(message), error->message);
	snprintf(line, FAILURE_LINE_SIZE,
		 "{\"ready\":false,\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}",
		 view_code_name(error->code), message);
}

int report_send(int fd, const struct view_error *error, const char *ready)
{
	const char *text = ready ? ready : error->message;
	/* An error that there is not is not looked at: it lies in a page of its own. */
	unsigned char code = ready ? CODE_NONE : (unsigned char)error->code;
	struct iovec parts[] = {
		{&code, 1}, {(void *)(uintptr_t)text, strlen(text)}, {(char[]){"\n"}, 1}};
	/* A pipe takes it all, waiting for the reader where it is longer than the pipe holds. */
	ssize_t n = writev(fd, parts, 3);

	if (n < 0)
		return -errno;
	return (size_t)n == strlen(text) + 2 ? 0 : -EIO;
}

/*
 * Waits for the pipe, and passes on what comes from *log* (-1: nothing). Returns: 0; > 0: nothing
 * was received; or -errno as report_receive().
 */
static int wait_readable(int fd, int interrupt, int *log, uint64_t deadline_us)
{
	struct pollfd fds[] = {{.fd = fd, .events = POLLIN},
			       {.fd = interrupt, .events = POLLIN},
			       {.fd = *log, .events = POLLIN}};
	uint64_t now = now_us();
	int n;

	if (now >= deadline_us)
		return -ETIMEDOUT;
	/* Rounded up: not to come back a moment too early, again and again. */
	n = poll(fds, 3, (int)((deadline_us - now) / 1000 + 1));
	if (n < 0 && errno != EINTR)
		return -errno;
	if (n <= 0)
		return 1;
	if (fds[1].revents)
		return -EINTR;
	if (fds[2].revents && log_relay(*log) <= 0)
		*log = -1;
	return fds[0].revents ? 0 : 1;
}

/* Returns: > 0: more is to come; 0: that was all; < 0: -errno. */
static int receive_some(int fd, struct report *ret, size_t *size)
{
	char *bytes = ret->text;
	ssize_t n = read(fd, bytes + *size, sizeof(ret->text) - *size);

	if (n < 0)
		return errno == EINTR ? 1 : -errno;
	if (n == 0)
		return -EPIPE;
	*size += (size_t)n;
	if (*size > 1 && bytes[*size - 1] == '\n')
		return 0;
	return *size == sizeof(ret->text) ? -EMSGSIZE : 1;
}

int report_receive(int fd, int interrupt, int log, uint64_t deadline_us, struct report *ret)
{
	size_t size = 0;
	int r;

	do {
		r = wait_readable(fd, interrupt, &log, deadline_us);
		if (r == 0)
			r = receive_some(fd, ret, &size);
	} while (r > 0);
	if (r < 0)
		return r;
	if ((unsigned char)ret->text[0] > CODE_BUG)
		return -EPIPE;
	ret->code = (enum view_code)ret->text[0];
	memmove(ret->text, ret->text + 1, size - 2);
	ret->text[size - 2] = '\0';
	return 0;
}
