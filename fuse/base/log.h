/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a view has to say while it runs: one line a message, on stderr, and once it is in the
 * background to syslog. The state is the process's own, as stderr and syslog are. A message is cut
 * at 4 KiB; no memory is taken for it. The next line after lines that were lost says how many.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

enum log_format {
	LOG_FORMAT_TEXT, /* "PROGRAM: MESSAGE" */
	LOG_FORMAT_JSON, /* urunc's logrus lines */
};

struct log_options {
	enum log_level level; /* the least that is said */
	enum log_format format;
	const char *id; /* containerID, or NULL; borrowed for the process's life */
};

void log_setup(const char *program, const struct log_options *options);

/* The containerID from now on; borrowed for the process's life. */
void log_set_id(const char *id);

bool log_is_json(void);

/*
 * A line that stderr does not take by *until_us* (now_us()) is lost, and counted. 0, as at first:
 * it is waited for.
 */
void log_wait_until(uint64_t until_us);

/*
 * Writes to stderr what another process has written into a pipe whose end *fd* never blocks, as far
 * as stderr takes it at once. Returns: > 0: more may follow; 0: the other end was closed; -EAGAIN:
 * the pipe is empty; or -errno.
 */
int log_relay(int fd);

/* From now on stderr is not ours any more: the system's log, which is never waited for. */
void log_to_syslog(void);

/* Back to stderr: a process that shares memory with the one that left it still has it. */
void log_to_stderr(void);

/* Nothing is said from now on: there is nowhere to say it. */
void log_end(void);

void log_message(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define log_error(...) log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_message(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_message(LOG_LEVEL_DEBUG, __VA_ARGS__)
