/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ctl/unit-file.h"

#include "tests/unit/fixture.h"

static void test_kill_mode_is_read_as_systemd_reads_it(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"", NULL},
		{"KillMode=process", NULL},
		{"[Unit]\nKillMode=process\n", NULL},
		{"[Service]", NULL},
		{"[Service]\nKillMode=process", "process"},
		{"[Service]\n  KillMode=process \t\r\nDelegate=yes\n", "process"},
		{"[Unit]\nAfter=x\n\n[Service]\nExecStart=/x\nKillMode=mixed\n\n[Install]\n",
		 "mixed"},
		/* The last one counts; an empty one takes back what was said. */
		{"[Service]\nKillMode=process\nKillMode=none\n", "none"},
		{"[Service]\nKillMode=process\nKillMode=\n", "control-group"},
		{"[Service]\nKillMode=process\n[Install]\nKillMode=mixed\n", "process"},
		{"[Service]\n#KillMode=process\n;KillMode=process\n", NULL},
		{"[Service]\nXKillMode=process\nkillmode=process\n", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = 0;
		const char *mode = unit_kill_mode(rows[i].text, &n);
		cleanup_free char *got = mode ? strndup(mode, n) : NULL;

		same_str(rows[i].text, got, rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kill_mode_is_read_as_systemd_reads_it),
	};

	return cmocka_run_group_tests_name("unit-file", tests, NULL, NULL);
}
