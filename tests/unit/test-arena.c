/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuse/process/arena.h"

/* As the linker calls them. Here the others are of the C library that the test runs on. */
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void __wrap_free(void *block);
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);

static unsigned real_calls;

void *__real_malloc(size_t size)
{
	real_calls++;
	return malloc(size);
}

void *__real_calloc(size_t count, size_t size)
{
	size_t all;

	real_calls++;
	/* A sanitizer's would end the process. */
	return __builtin_mul_overflow(count, size, &all) ? NULL : calloc(count, size);
}

void *__real_realloc(void *block, size_t size)
{
	real_calls++;
	return realloc(block, size);
}

void __real_free(void *block)
{
	real_calls += block != NULL;
	free(block);
}

enum { HELD = 400, STEPS = 200000, LARGE = 9000 };

static uint32_t chance(void)
{
	static uint32_t state = 2463534242;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

struct held {
	unsigned char *bytes;
	size_t size;
	unsigned char mark;
};

static void check(const struct held *held, size_t size)
{
	assert_int_equal((uintptr_t)held->bytes % _Alignof(max_align_t), 0);
	for (size_t i = 0; i < size; i++)
		assert_int_equal(held->bytes[i], held->mark);
}

static void fill(struct held *held, size_t size)
{
	held->size = size;
	held->mark = (unsigned char)chance();
	memset(held->bytes, held->mark, size);
}

/* Small ones in most cases, as a start has them, and now and then one that is too large. */
static size_t any_size(void)
{
	return chance() % 50 == 0 ? chance() % LARGE : chance() % 300;
}

static void step(struct held *held)
{
	size_t size = any_size(), kept;

	switch (held->bytes ? chance() % 3 : 2) {
	case 0:
		check(held, held->size);
		__wrap_free(held->bytes);
		*held = (struct held){};
		return;
	case 1:
		check(held, held->size);
		kept = held->size < size ? held->size : size;
		held->bytes = __wrap_realloc(held->bytes, size + 1);
		assert_non_null(held->bytes);
		check(held, kept);
		fill(held, size);
		return;
	default:
		__wrap_free(held->bytes);
		if (chance() % 2) {
			held->bytes = __wrap_calloc(size + 1, 1);
			held->mark = 0;
			check(held, size + 1);
		} else {
			held->bytes = __wrap_realloc(NULL, size);
		}
		assert_non_null(held->bytes);
		fill(held, size);
	}
}

static void test_blocks_keep_their_bytes_and_never_overlap(void **state)
{
	static struct held held[HELD];

	(void)state;
	for (int i = 0; i < STEPS; i++) {
		if (i % 1000 == 0)
			arena_trim();
		step(&held[chance() % HELD]);
	}
	assert_true(real_calls > 0);
	for (size_t i = 0; i < HELD; i++) {
		if (held[i].bytes)
			check(&held[i], held[i].size);
		__wrap_free(held[i].bytes);
	}
}

static void test_released_blocks_are_used_again(void **state)
{
	unsigned before = real_calls;
	void *blocks[64];

	(void)state;
	for (int round = 0; round < 10000; round++) {
		for (size_t i = 0; i < 64; i++) {
			blocks[i] = __wrap_malloc(16 + 24 * i);
			assert_non_null(blocks[i]);
		}
		for (size_t i = 0; i < 64; i++)
			__wrap_free(blocks[i]);
	}
	assert_int_equal(real_calls, before);
}

static void test_a_count_that_overflows_is_refused(void **state)
{
	/* Not known to the compiler, which warns of it. */
	volatile size_t half = SIZE_MAX / 2;

	(void)state;
	assert_null(__wrap_calloc(half, 3));
}

static int status_of(void (*run)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		run();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void release_twice(void)
{
	char *block = __wrap_malloc(40);
	char *after = __wrap_malloc(40);

	__wrap_free(block);
	__wrap_free(block);
	__wrap_free(after);
}

static void release_the_middle(void)
{
	char *block = __wrap_malloc(40);

	__wrap_free(block + 16);
}

static void test_releasing_what_is_no_block_ends_the_process(void **state)
{
	(void)state;
	assert_true(WIFSIGNALED(status_of(release_twice)));
	assert_true(WIFSIGNALED(status_of(release_the_middle)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_released_blocks_are_used_again),
		cmocka_unit_test(test_blocks_keep_their_bytes_and_never_overlap),
		cmocka_unit_test(test_a_count_that_overflows_is_refused),
		cmocka_unit_test(test_releasing_what_is_no_block_ends_the_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
