/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/clock.h"

#include <time.h>

#include "tests/unit/fixture.h"

static void same_as_gmtime(int64_t seconds)
{
	time_t time = (time_t)seconds;
	char expected[CLOCK_UTC_SIZE], text[CLOCK_UTC_SIZE];
	struct tm tm;

	strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&time, &tm));
	clock_utc(seconds, text);
	same_str(expected, text, expected);
}

static void test_utc_is_computed_as_gmtime_has_it(void **state)
{
	static const int64_t chosen[] = {
		0,	    -1,		86399,	    86400,	68169599,    68169600,
		951782399,  951782400,	951868799,  951868800,	2147483647,  2147483648,
		4107542399, 4107542400, 4294967295, 4294967296, 13569465599, 13569465600,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(chosen); i++)
		same_as_gmtime(chosen[i]);
	/* Each day of five centuries, at another second of each. */
	for (int64_t day = -36525; day < 146097; day++)
		same_as_gmtime(day * 86400 + (day * 7919 % 86400 + 86400) % 86400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_utc_is_computed_as_gmtime_has_it),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
