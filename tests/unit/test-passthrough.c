/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels that are not at hand: what they say first, and what is made of libfuse's answer. */
#include "fuse/serve/passthrough.h"

#include <linux/fuse.h>

#include "tests/unit/fixture.h"

/* include/uapi/linux/fuse.h of Linux 6.9; the headers here may be older. */
enum {
	INIT_EXT_BIT = 1 << 30,
	ALLOW_MMAP_BIT = 1 << (36 - 32),
	ALLOW_IDMAP_BIT = 1 << (40 - 32),
	PASSTHROUGH_BIT = 1 << (37 - 32),
	OTHERS = 1 << 7,
};

struct init {
	struct fuse_in_header header;
	uint32_t major, minor, max_readahead, flags, flags2, unused[11];
};

struct reply {
	struct fuse_out_header header;
	uint32_t major, minor, max_readahead, flags;
	uint16_t max_background, congestion_threshold;
	uint32_t max_write, time_gran;
	uint16_t max_pages, map_alignment;
	uint32_t flags2, max_stack_depth, unused[6];
};

static void test_passthrough_is_asked_for_only_when_offered(void **state)
{
	static const struct {
		const char *name;
		uint32_t flags, flags2; /* the kernel's */
		bool want, stacked;
		uint32_t flags2_then, depth; /* the answer's */
		bool passthrough;
	} rows[] = {
		{"all", INIT_EXT_BIT, PASSTHROUGH_BIT | ALLOW_MMAP_BIT, true, false,
		 PASSTHROUGH_BIT | ALLOW_MMAP_BIT, 1, true},
		{"stacked", INIT_EXT_BIT, PASSTHROUGH_BIT, true, true, PASSTHROUGH_BIT, 2, true},
		{"unwanted", INIT_EXT_BIT, PASSTHROUGH_BIT | ALLOW_MMAP_BIT, false, true,
		 ALLOW_MMAP_BIT, 0, false},
		{"before 6.9", INIT_EXT_BIT, ALLOW_MMAP_BIT, true, false, ALLOW_MMAP_BIT, 0, false},
		{"before 6.6", INIT_EXT_BIT, OTHERS, true, false, 0, 0, false},
		/* Without the bit that says so there is no second word. */
		{"before 5.17", 0, PASSTHROUGH_BIT | ALLOW_MMAP_BIT, true, false, 0, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct init init = {.flags = OTHERS | rows[i].flags, .flags2 = rows[i].flags2};
		struct reply reply = {.major = 7, .flags = OTHERS, .max_write = 4096};
		const struct wishes wishes = {
			.passthrough = rows[i].want,
			.stacked = rows[i].stacked,
		};
		struct negotiated negotiated =
			passthrough_negotiate(&init, sizeof(init), &reply, sizeof(reply), &wishes);

		same_int(rows[i].name, negotiated.passthrough, rows[i].passthrough);
		same_int(rows[i].name, reply.flags2, rows[i].flags2_then);
		same_int(rows[i].name, reply.max_stack_depth, rows[i].depth);
		same_int(rows[i].name, reply.flags, OTHERS | rows[i].flags);
		/* What libfuse said stays. */
		same_int(rows[i].name, reply.major, 7);
		same_int(rows[i].name, reply.max_write, 4096);
	}
}

static void test_a_mount_may_be_idmapped_only_where_that_is_wished_and_offered(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		const struct wishes wishes = {.idmap = i & 1};
		bool offered = i & 2;
		struct init init = {.flags = INIT_EXT_BIT, .flags2 = offered ? ALLOW_IDMAP_BIT : 0};
		struct reply reply = {.major = 7};

		passthrough_negotiate(&init, sizeof(init), &reply, sizeof(reply), &wishes);
		assert_int_equal(reply.flags2, offered && wishes.idmap ? ALLOW_IDMAP_BIT : 0);
	}
}

/* Either may be shorter, of an old kernel or libfuse: what is not there is not read or set. */
static void test_short_structures_are_neither_read_nor_written_past_their_end(void **state)
{
	const struct init init = {.flags = INIT_EXT_BIT, .flags2 = PASSTHROUGH_BIT};
	const size_t init_size = offsetof(struct init, unused);
	const size_t reply_size = offsetof(struct reply, unused);
	const struct reply before = {.major = 7};
	const struct wishes wishes = {.passthrough = true};

	(void)state;
	for (int less = 0; less < 2; less++) {
		struct reply reply = before;

		assert_int_equal(passthrough_negotiate(&init, init_size - less, &reply, reply_size,
						       &wishes)
					 .passthrough,
				 less == 0);
		assert_int_equal(memcmp(&reply, &before, sizeof(reply)) == 0, less != 0);
		reply = before;
		assert_int_equal(passthrough_negotiate(&init, init_size, &reply, reply_size - less,
						       &wishes)
					 .passthrough,
				 less == 0);
		assert_int_equal(memcmp(&reply, &before, sizeof(reply)) == 0, less != 0);
	}
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
		cmocka_unit_test(test_short_structures_are_neither_read_nor_written_past_their_end),
		cmocka_unit_test(test_a_descriptor_that_is_no_connection_is_not_allowed),
	};

	return cmocka_run_group_tests_name("passthrough", tests, NULL, NULL);
}
