/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ctl/toml.h"

#include "tests/unit/fixture.h"

static void test_a_string_is_found_in_its_table(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"", NULL},
		{"k = 'x'", NULL},
		{"[a.b]\nk = 'x'", "x"},
		{"[a.b]\nk=\"x\"\n", "x"},
		{"  [ a . b ] # c\n\t k \t=\t'x y' # 'z'\r\n", "x y"},
		{"[\"a\".'b']\nk = 'x'", "x"},
		{"[\"a.b\"]\nk = 'x'", "x"},
		{"[a.b]\nk = ''", ""},
		{"[a.b]\n[a]\nk = 'x'", NULL},
		{"[a.bc]\nk = 'x'", NULL},
		{"[a.b.c]\nk = 'x'", NULL},
		{"[[a.b]]\nk = 'x'", NULL},
		{"[a.b\nk = 'x'", NULL},
		{"[a.b]\n#k = 'x'", NULL},
		{"[a.b]\nkk = 'x'", NULL},
		{"[a.b]\nk.k = 'x'", NULL},
		{"[a.b]\nk = 3", NULL},
		{"[a.b]\nk = 'x\n'", NULL},
		{"[a.b]\nk = 'x\"\n", NULL},
		{"[a.b]\nk", NULL},
		{"[a.b]\nk =", NULL},
		{"[a.b]\nk = '", NULL},
		{"[a.b]\nk = 'x'\n[c]\nk = 'y'\n[a.b]\nk = 'z'", "z"},
		{"[a.b]\nk = 'a much longer string'", "a much "},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char value[8];
		bool found = toml_string(rows[i].text, "a.b", "k", value, sizeof(value));

		same_str(rows[i].text, found ? value : NULL, rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_string_is_found_in_its_table),
	};

	return cmocka_run_group_tests_name("toml", tests, NULL, NULL);
}
