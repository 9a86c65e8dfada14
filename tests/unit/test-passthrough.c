/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels that are not at hand: what they say first, and what they are answered. */
#include "fuse/serve/passthrough.h"

#include <linux/fuse.h>

#include "tests/unit/fixture.h"

/* include/uapi/linux/fuse.h of Linux 6.9; the headers here may be older. */
enum {
	ALLOW_MMAP_BIT = 1 << (36 - 32),
	ALLOW_IDMAP_BIT = 1 << (40 - 32),
	PASSTHROUGH_BIT = 1 << (37 - 32),
	OTHERS = 1 << 7,
};

/* Of Linux 6.9 on; before 5.17 the second word of flags was none. */
#define A_KERNEL .major = 7, .minor = 40, .max_readahead = 128 << 10

static void test_passthrough_is_asked_for_only_when_offered(void **state)
{
	static const struct {
		const char *name;
		uint32_t flags, flags2; /* the kernel's */
		bool want, stacked;
		uint32_t flags2_then, depth; /* the answer's */
		bool passthrough;
	} rows[] = {
		{"all", INIT_EXT, PASSTHROUGH_BIT | ALLOW_MMAP_BIT, true, false,
		 PASSTHROUGH_BIT | ALLOW_MMAP_BIT, 1, true},
		{"stacked", INIT_EXT, PASSTHROUGH_BIT, true, true, PASSTHROUGH_BIT, 2, true},
		{"unwanted", INIT_EXT, PASSTHROUGH_BIT | ALLOW_MMAP_BIT, false, true,
		 ALLOW_MMAP_BIT, 0, false},
		{"before 6.9", INIT_EXT, ALLOW_MMAP_BIT, true, false, ALLOW_MMAP_BIT, 0, false},
		{"before 6.6", INIT_EXT, OTHERS, true, false, 0, 0, false},
		/* Without the bit that says so there is no second word. */
		{"before 5.17", 0, PASSTHROUGH_BIT | ALLOW_MMAP_BIT, true, false, 0, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct init_in init = {A_KERNEL, .flags = OTHERS | rows[i].flags,
					     .flags2 = rows[i].flags2};
		const struct wishes wishes = {
			.passthrough = rows[i].want,
			.stacked = rows[i].stacked,
		};
		struct negotiated negotiated;
		struct init_out answer;

		assert_int_equal(passthrough_negotiate(&init, sizeof(init), &wishes, &answer,
						       &negotiated),
				 0);
		same_int(rows[i].name, negotiated.passthrough, rows[i].passthrough);
		same_int(rows[i].name, answer.flags2, rows[i].flags2_then);
		same_int(rows[i].name, answer.max_stack_depth, rows[i].depth);
		same_int(rows[i].name, answer.flags, rows[i].flags);
		same_int(rows[i].name, answer.max_readahead, init.max_readahead);
	}
}

static void test_a_mount_may_be_idmapped_only_where_that_is_wished_and_offered(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		const struct wishes wishes = {.idmap = i & 1};
		bool offered = i & 2;
		const struct init_in init = {A_KERNEL, .flags = INIT_EXT,
					     .flags2 = offered ? ALLOW_IDMAP_BIT : 0};
		struct negotiated negotiated;
		struct init_out answer;

		assert_int_equal(passthrough_negotiate(&init, sizeof(init), &wishes, &answer,
						       &negotiated),
				 0);
		assert_int_equal(answer.flags2, offered && wishes.idmap ? ALLOW_IDMAP_BIT : 0);
	}
}

static void test_of_what_the_kernel_offers_only_what_is_known_is_accepted(void **state)
{
	const struct init_in all = {A_KERNEL, .flags = UINT32_MAX, .flags2 = UINT32_MAX};
	const struct init_in none = {A_KERNEL};
	struct negotiated negotiated;
	struct init_out answer;

	(void)state;
	assert_int_equal(passthrough_negotiate(&all, sizeof(all), &(struct wishes){}, &answer,
					       &negotiated),
			 0);
	assert_int_equal(answer.flags & ~INIT_EXT, FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC |
							   FUSE_BIG_WRITES | FUSE_DO_READDIRPLUS |
							   FUSE_ASYNC_DIO | FUSE_MAX_PAGES);
	assert_int_equal(answer.flags2, ALLOW_MMAP_BIT);
	assert_true(negotiated.resend);
	assert_int_equal(passthrough_negotiate(&none, sizeof(none), &(struct wishes){}, &answer,
					       &negotiated),
			 0);
	assert_int_equal(answer.flags, 0);
	assert_int_equal(answer.flags2, 0);
	assert_false(negotiated.resend);
}

/* An old kernel's is shorter: what is not there is not read. */
static void test_a_short_request_is_not_read_past_its_end(void **state)
{
	const struct init_in init = {A_KERNEL, .flags = INIT_EXT, .flags2 = PASSTHROUGH_BIT};
	const struct wishes wishes = {.passthrough = true};
	struct negotiated negotiated;
	struct init_out answer;

	(void)state;
	assert_int_equal(passthrough_negotiate(&init, offsetof(struct init_in, flags2), &wishes,
					       &answer, &negotiated),
			 0);
	assert_false(negotiated.passthrough);
}

static void test_another_protocol_is_refused(void **state)
{
	static const struct init_in other[] = {
		{.major = 8, .minor = 40}, {.major = 6, .minor = 40}, {.major = 7, .minor = 30}};
	const struct init_in init = {A_KERNEL};
	struct negotiated negotiated;
	struct init_out answer;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(other); i++)
		assert_int_equal(passthrough_negotiate(&other[i], sizeof(other[i]),
						       &(struct wishes){}, &answer, &negotiated),
				 -EPROTO);
	assert_int_equal(passthrough_negotiate(&init, 4, &(struct wishes){}, &answer, &negotiated),
			 -EPROTO);
}

/* A descriptor that is no connection knows no such request: not to be taken for a yes. */
static void test_a_descriptor_that_is_no_connection_is_not_allowed(void **state)
{
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	assert_true(null >= 0);
	assert_false(passthrough_is_allowed(null));
	assert_int_equal(passthrough_register(null, null), -ENOTTY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passthrough_is_asked_for_only_when_offered),
		cmocka_unit_test(
			test_a_mount_may_be_idmapped_only_where_that_is_wished_and_offered),
		cmocka_unit_test(test_of_what_the_kernel_offers_only_what_is_known_is_accepted),
		cmocka_unit_test(test_a_short_request_is_not_read_past_its_end),
		cmocka_unit_test(test_another_protocol_is_refused),
		cmocka_unit_test(test_a_descriptor_that_is_no_connection_is_not_allowed),
	};

	return cmocka_run_group_tests_name("passthrough", tests, NULL, NULL);
}
