/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fuse/base/text.h"

enum {
	LINE_SIZE = 4096,
	JSON_SIZE = 3 * LINE_SIZE, /* room for all of it escaped, and the other fields */
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
} logger = {.program = "urunc-viewfs", .options = {.level = LOG_LEVEL_INFO}};

void log_setup(const char *program, const struct log_options *options)
{
	logger.program = program;
	logger.options = *options;
}

bool log_is_json(void)
{
	return logger.options.format == LOG_FORMAT_JSON;
}

void log_to_syslog(void)
{
	openlog(logger.program, LOG_PID, LOG_DAEMON);
	logger.to_syslog = true;
}

void log_to_stderr(void)
{
	logger.to_syslog = false;
}

/* RFC 3339 in UTC, as logrus writes it. */
static void format_time(char text[static 32])
{
	time_t now = time(NULL);
	struct tm tm;

	strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
}

static void format_json(char *line, size_t size, enum log_level level, const char *text)
{
	char message[2 * LINE_SIZE];
	char id[5 * 256] = "";
	char stamp[32];

	format_time(stamp);
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

/*
 * Not by dprintf(3), which takes memory before glibc 2.37: a launcher that has killed its server
 * has a heap in which that was in the middle of something. *line* has room for one byte more.
 */
static void write_line(char *line)
{
	size_t n = strlen(line);

	line[n++] = '\n';
	while (n > 0) {
		ssize_t written = write(STDERR_FILENO, line, n);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return;
		line += written;
		n -= (size_t)written;
	}
}

void log_message(enum log_level level, const char *format, ...)
{
	char raw[LINE_SIZE], text[LINE_SIZE], line[JSON_SIZE + 1];
	va_list args;

	if (logger.ended || level > logger.options.level)
		return;
	va_start(args, format);
	vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	escape_unprintable(text, sizeof(text), raw);
	if (logger.options.format == LOG_FORMAT_JSON)
		format_json(line, JSON_SIZE, level, text);
	else if (logger.to_syslog)
		snprintf(line, JSON_SIZE, "%s", text);
	else
		snprintf(line, JSON_SIZE, "%s: %s", logger.program, text);
	if (logger.to_syslog)
		syslog(levels[level].priority, "%s", line);
	else
		write_line(line);
}
