/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A launcher that has killed its server shares a heap with it in which malloc(3) may have been in
 * the middle of something, and logs: nothing here takes memory. What is called of the C library is
 * clock_gettime, close, connect, getpid, poll, read, sendmsg, snprintf, socket, strlen, vsnprintf
 * and write. None of them asks for a time zone or a locale: times are computed (clock_utc()).
 */
#include "fuse/base/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "fuse/base/clock.h"
#include "fuse/base/syslog.h"
#include "fuse/base/text.h"

enum {
	LINE_SIZE = 4096,
	JSON_SIZE = 3 * LINE_SIZE, /* room for all of it escaped, and the other fields */
	NO_WAIT = 1,		   /* a time that has passed */
};

static const struct {
	char name[8]; /* logrus's */
	int priority; /* syslog's */
} levels[] = {
	[LOG_LEVEL_ERROR] = {"error", LOG_ERR},
	[LOG_LEVEL_WARN] = {"warning", LOG_WARNING},
	[LOG_LEVEL_INFO] = {"info", LOG_INFO},
	[LOG_LEVEL_DEBUG] = {"debug", LOG_DEBUG},
};

static struct {
	const char *program;
	struct log_options options;
	bool to_syslog, ended;
	uint64_t wait_until_us; /* 0: as long as it takes */
	unsigned lost;		/* lines since the last that was written */
} logger = {.program = "urunc-viewfs", .options = {.level = LOG_LEVEL_INFO}};

void log_setup(const char *program, const struct log_options *options)
{
	logger.program = program;
	logger.options = *options;
}

void log_set_id(const char *id)
{
	logger.options.id = id;
}

bool log_is_json(void)
{
	return logger.options.format == LOG_FORMAT_JSON;
}

void log_to_syslog(void)
{
	logger.to_syslog = true;
}

void log_to_stderr(void)
{
	logger.to_syslog = false;
}

void log_wait_until(uint64_t until_us)
{
	logger.wait_until_us = until_us;
}

static void format_json(char *line, size_t size, enum log_level level, const char *text)
{
	char message[2 * LINE_SIZE];
	char id[5 * 256] = "";
	char stamp[CLOCK_UTC_SIZE];

	clock_utc(clock_seconds(), stamp);
	text_json(message, sizeof(message), text);
	if (logger.options.id) {
		char shown[4 * 256];

		escape_name(shown, sizeof(shown), logger.options.id);
		text_json(id, sizeof(id), shown);
	}
	snprintf(line, size,
		 "{\"time\":\"%s\",\"level\":\"%s\",\"msg\":\"%s\",\"subsystem\":\"viewfs\"%s%s%s}",
		 stamp, levels[level].name, message, logger.options.id ? ",\"containerID\":\"" : "",
		 id, logger.options.id ? "\"" : "");
}

void log_end(void)
{
	logger.ended = true;
}

/* Whether stderr has room. A pipe that has any has it for PIPE_BUF bytes. 0: no time limit. */
static bool wait_stderr(uint64_t until_us)
{
	struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};
	uint64_t now = now_us();
	int ms = now < until_us ? (int)((until_us - now) / 1000 + 1) : 0;

	return until_us == 0 || poll(&fd, 1, ms) != 0;
}

/* Returns: false: not all of it was written in time. */
static bool write_stderr(const char *bytes, size_t n, uint64_t until_us)
{
	while (n > 0) {
		ssize_t written;

		if (!wait_stderr(until_us))
			return false;
		written = write(STDERR_FILENO, bytes, n < PIPE_BUF ? n : PIPE_BUF);
		if (written < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		/* That there is no stderr is the caller's wish. */
		if (written <= 0)
			return true;
		bytes += written;
		n -= (size_t)written;
	}
	return true;
}

int log_relay(int fd)
{
	char bytes[PIPE_BUF];
	ssize_t n = read(fd, bytes, sizeof(bytes));

	if (n < 0)
		return errno == EINTR ? 1 : -errno;
	if (!write_stderr(bytes, (size_t)n, NO_WAIT))
		logger.lost++;
	return n > 0;
}

static bool log_text(enum log_level level, const char *text)
{
	char line[JSON_SIZE + 1];
	size_t n;

	if (logger.options.format == LOG_FORMAT_JSON)
		format_json(line, JSON_SIZE, level, text);
	else if (logger.to_syslog)
		snprintf(line, JSON_SIZE, "%s", text);
	else
		snprintf(line, JSON_SIZE, "%s: %s", logger.program, text);
	if (logger.to_syslog)
		return syslog_send(logger.program, levels[level].priority, line);
	/* *line* has room for one byte more. */
	n = strlen(line);
	line[n++] = '\n';
	return write_stderr(line, n, logger.wait_until_us);
}

void log_message(enum log_level level, const char *format, ...)
{
	char raw[LINE_SIZE], text[LINE_SIZE];
	va_list args;

	if (logger.ended || level > logger.options.level)
		return;
	if (logger.lost > 0) {
		snprintf(text, sizeof(text), "%u lines were lost", logger.lost);
		if (log_text(LOG_LEVEL_WARN, text))
			logger.lost = 0;
	}
	va_start(args, format);
	vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	escape_unprintable(text, sizeof(text), raw);
	if (!log_text(level, text))
		logger.lost++;
}
