/* SPDX-License-Identifier: Apache-2.0 */
/* The clock that time limits are measured by. */
#pragma once

#include <stdint.h>
#include <time.h>

/*
 * What a clock tells, by a system call: a process that looks at a clock a few times pays more for
 * the vDSO, whose symbols musl looks up and two pages of which are mapped then. A sandboxed process
 * cannot call it.
 */
struct timespec clock_read(clockid_t clock);

/* The monotonic clock (CLOCK_MONOTONIC) in microseconds. */
uint64_t now_us(void);

/* Seconds since 1970. */
int64_t clock_seconds(void);

enum { CLOCK_UTC_SIZE = 32 };

/*
 * *seconds* since 1970 as RFC 3339 has them, in UTC: "2006-01-02T15:04:05Z". Takes no memory, as
 * gmtime(3) does, which reads the time zone.
 */
void clock_utc(int64_t seconds, char ret[static CLOCK_UTC_SIZE]);
