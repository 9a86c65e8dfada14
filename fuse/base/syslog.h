/* SPDX-License-Identifier: Apache-2.0 */
/* Lines for the system's log, without syslog(3), which waits for the log's reader. */
#pragma once

#include <stdbool.h>

/*
 * Sends a line to /dev/log, for the facility "daemon": without a time, which the reader adds. Never
 * waits, and takes no memory of the heap. *priority* is one of syslog's, LOG_ERR and so on.
 * Returns: false: the line is lost.
 */
bool syslog_send(const char *program, int priority, const char *line);
