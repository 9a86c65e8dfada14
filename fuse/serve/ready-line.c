/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/serve/ready-line.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "fuse/base/clock.h"
#include "fuse/base/json-writer.h"
#include "fuse/base/text.h"

static void write_artifact(struct json_writer *writer, const struct artifact *artifact)
{
	json_writer_print(writer, "{\"role\":\"%s\",\"path\":", roles_name(artifact->roles));
	json_writer_string(writer, artifact->path);
	json_writer_print(writer, ",\"layer\":%zu,\"origin\":", artifact->layer);
	json_writer_string(writer, artifact->origin);
	json_writer_print(writer, ",\"size\":%jd}", (intmax_t)artifact->st.st_size);
}

/* Those that are ready, once all have been looked for. */
static void write_artifacts(struct json_writer *writer, const struct view *view)
{
	const char *comma = "";

	if (!view_all_resolved(view))
		return;
	json_writer_print(writer, ",\"artifacts\":[");
	for (size_t i = 0; i < view->artifact_count; i++) {
		if (view->artifacts[i].state != ARTIFACT_READY)
			continue;
		json_writer_print(writer, "%s", comma);
		write_artifact(writer, &view->artifacts[i]);
		comma = ",";
	}
	json_writer_print(writer, "]");
}

char *report_ready_line(const struct view *view, const char *id, const char *mountpoint,
			bool passthrough, uint64_t elapsed_us)
{
	cleanup_with(json_writer_done) struct json_writer writer = {};

	json_writer_print(&writer, "{\"ready\":true,");
	if (id) {
		json_writer_print(&writer, "\"id\":");
		json_writer_string(&writer, id);
		json_writer_print(&writer, ",");
	}
	json_writer_print(&writer, "\"mountpoint\":");
	json_writer_string(&writer, mountpoint);
	json_writer_print(&writer, ",\"passthrough\":%s,\"elapsed_us\":%" PRIu64,
			  passthrough ? "true" : "false", elapsed_us);
	write_artifacts(&writer, view);
	json_writer_print(&writer, "}");
	return json_writer_take(&writer);
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
	const char *text = error->code == CODE_NONE ? ready : error->message;
	unsigned char code = (unsigned char)error->code;
	struct iovec parts[] = {
		{&code, 1}, {(void *)(uintptr_t)text, strlen(text)}, {(char[]){"\n"}, 1}};
	/* A pipe takes it all, waiting for the reader where it is longer than the pipe holds. */
	ssize_t n = writev(fd, parts, 3);

	if (n < 0)
		return -errno;
	return (size_t)n == strlen(text) + 2 ? 0 : -EIO;
}

/* Waits for the pipe. Returns: 0, or -errno as report_receive(). */
static int wait_readable(int fd, int interrupt, uint64_t deadline_us)
{
	struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = interrupt, .events = POLLIN}};
	uint64_t now = now_us();
	int n;

	if (now >= deadline_us)
		return -ETIMEDOUT;
	/* Rounded up: not to come back a moment too early, again and again. */
	n = poll(fds, 2, (int)((deadline_us - now) / 1000 + 1));
	if (n < 0 && errno != EINTR)
		return -errno;
	if (n <= 0)
		return 1;
	return fds[1].revents ? -EINTR : 0;
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

int report_receive(int fd, int interrupt, uint64_t deadline_us, struct report *ret)
{
	size_t size = 0;
	int r;

	do {
		r = wait_readable(fd, interrupt, deadline_us);
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
