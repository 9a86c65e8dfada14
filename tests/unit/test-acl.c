/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/source/acl.h"

#include <endian.h>
#include <stdint.h>

#include "tests/unit/fixture.h"

enum { OWNER = 1, USER = 2, GROUP_OWNER = 4, GROUP = 8, MASK = 0x10, OTHER = 0x20 };

struct entry {
	uint16_t tag, permissions;
	uint32_t id;
};

struct acl {
	uint32_t version;
	struct entry entries[8];
};

static size_t make_acl(struct acl *ret, const struct entry entries[static 8])
{
	size_t n = 0;

	ret->version = htole32(2);
	for (; n < 8 && entries[n].tag; n++)
		ret->entries[n] =
			(struct entry){htole16(entries[n].tag), htole16(entries[n].permissions),
				       htole32(entries[n].id)};
	return sizeof(ret->version) + n * sizeof(*entries);
}

static void test_the_mode_grants_no_process_more_than_the_acl(void **state)
{
	static const struct {
		const char *name;
		struct entry entries[8];
		mode_t mode, want;
	} rows[] = {
		{"group of the owner below the mask",
		 {{OWNER, 6, 0}, {USER, 6, 9}, {GROUP_OWNER, 0, 0}, {MASK, 6, 0}, {OTHER, 0, 0}},
		 0660,
		 0600},
		{"group of the owner limited by the mask",
		 {{OWNER, 6, 0}, {USER, 4, 9}, {GROUP_OWNER, 7, 0}, {MASK, 4, 0}, {OTHER, 4, 0}},
		 0644,
		 0644},
		{"grants of others are not shown",
		 {{OWNER, 6, 0}, {GROUP_OWNER, 4, 0}, {GROUP, 6, 9}, {MASK, 6, 0}, {OTHER, 0, 0}},
		 0660,
		 0640},
		{"a user who is denied is not one of the others, or of the group",
		 {{OWNER, 6, 0}, {USER, 0, 9}, {GROUP_OWNER, 4, 0}, {MASK, 4, 0}, {OTHER, 4, 0}},
		 0644,
		 0600},
		{"a user whom the mask denies",
		 {{OWNER, 6, 0}, {USER, 7, 9}, {GROUP_OWNER, 7, 0}, {MASK, 0, 0}, {OTHER, 4, 0}},
		 0604,
		 0600},
		{"a group that is denied is not among the others",
		 {{OWNER, 6, 0}, {GROUP_OWNER, 4, 0}, {GROUP, 0, 9}, {MASK, 4, 0}, {OTHER, 4, 0}},
		 0644,
		 0640},
		{"no entry but the three",
		 {{OWNER, 6, 0}, {GROUP_OWNER, 4, 0}, {OTHER, 4, 0}},
		 0644,
		 0644},
		{"bits beside the permissions stay",
		 {{OWNER, 7, 0}, {GROUP_OWNER, 0, 0}, {MASK, 5, 0}, {OTHER, 0, 0}},
		 06750,
		 06700},
		{"a tag that is none", {{OWNER, 6, 0}, {3, 7, 0}}, 0666, 0600},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct acl acl;
		size_t n = make_acl(&acl, rows[i].entries);

		same_int(rows[i].name, acl_narrow(&acl, n, rows[i].mode), rows[i].want);
	}
}

static void test_what_is_no_acl_leaves_the_owners_bits(void **state)
{
	static const struct entry entries[8] = {{OWNER, 6, 0}, {GROUP_OWNER, 4, 0}, {OTHER, 4, 0}};
	struct acl acl;
	size_t n = make_acl(&acl, entries);

	(void)state;
	assert_int_equal(acl_narrow(&acl, n, 0644), 0644);
	assert_int_equal(acl_narrow(&acl, n - 1, 0644), 0600);
	assert_int_equal(acl_narrow(&acl, 3, 0644), 0600);
	assert_int_equal(acl_narrow(&acl, 0, 0644), 0600);
	acl.version = htole32(3);
	assert_int_equal(acl_narrow(&acl, n, 0644), 0600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_mode_grants_no_process_more_than_the_acl),
		cmocka_unit_test(test_what_is_no_acl_leaves_the_owners_bits),
	};

	return cmocka_run_group_tests_name("acl", tests, NULL, NULL);
}
