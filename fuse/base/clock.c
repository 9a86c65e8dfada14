/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/clock.h"

#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

/* With 64 bits for the seconds, as struct timespec has here. */
#ifndef SYS_clock_gettime64
#define SYS_clock_gettime64 SYS_clock_gettime
#endif

struct timespec clock_read(clockid_t clock)
{
	struct timespec now = {};

	syscall(SYS_clock_gettime64, clock, &now);
	return now;
}

uint64_t now_us(void)
{
	struct timespec now = clock_read(CLOCK_MONOTONIC);

	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

int64_t clock_seconds(void)
{
	return clock_read(CLOCK_REALTIME).tv_sec;
}

/* Rounds down, as the rest of the calendar expects; *ret_rest* is what is left. */
static int64_t divide(int64_t number, int64_t by, int64_t *ret_rest)
{
	*ret_rest = (number % by + by) % by;
	return (number - *ret_rest) / by;
}

void clock_utc(int64_t seconds, char ret[static CLOCK_UTC_SIZE])
{
	int64_t second, day, year_day, four_hundred, year, month;
	/* Years begin in March here: a leap day is the last. 719468 days: 0000-03-01 to 1970. */
	int64_t days = divide(seconds, 86400, &second) + 719468;

	four_hundred = divide(days, 146097, &day);
	year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	year_day = day - (365 * year + year / 4 - year / 100);
	month = (5 * year_day + 2) / 153;
	day = year_day - (153 * month + 2) / 5 + 1;
	month = month < 10 ? month + 3 : month - 9;
	year += 400 * four_hundred + (month <= 2);
	snprintf(ret, CLOCK_UTC_SIZE, "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)(year % 10000),
		 (unsigned)(month % 100), (unsigned)(day % 100), (unsigned)(second / 3600 % 100),
		 (unsigned)(second / 60 % 60), (unsigned)(second % 60));
}
