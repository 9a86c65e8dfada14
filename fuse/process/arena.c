/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a block lies apart from it, as in musl: a write past a block's end does not
 * reach it. A pointer that is no block, and one that is released twice, ends the process.
 */
#include "fuse/process/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
	PAGE = 4096,
	UNIT = 16, /* bytes: a block begins at a multiple, and its size is one */
	UNITS = (128 << 10) / UNIT,
	UNITS_MAX = 512, /* of a block */
	USED = UINT16_MAX,
};

/* By these names the linker knows musl's functions and the ones that take their place. */
/* NOLINTBEGIN(bugprone-reserved-identifier, cert-dcl37-c, cert-dcl51-cpp) */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void __wrap_free(void *block);

/* What is known of the block that begins in a unit. All zero: none does. */
struct block {
	uint16_t units;
	uint16_t next; /* USED, or the next free block of this size; 0: there is none */
};

/* What of it is used first lies together. */
static struct {
	struct block blocks[UNITS];	     /* the last one is of the first unit */
	uint16_t free_blocks[UNITS_MAX + 1]; /* the first free block of each size */
	_Alignas(PAGE) char bytes[UNITS * UNIT];
} arena;

static uint16_t end = 1; /* the first unit of no block; 0 is never one's */

static struct block *block_of(size_t unit)
{
	return &arena.blocks[UNITS - 1 - unit];
}

/* Returns: a block of at least *size* bytes, or NULL where there is no room. */
static void *arena_take(size_t size)
{
	size_t units = size == 0 ? 1 : (size + UNIT - 1) / UNIT;
	uint16_t at;

	if (size > (size_t)UNITS_MAX * UNIT)
		return NULL;
	at = arena.free_blocks[units];
	if (at != 0) {
		arena.free_blocks[units] = block_of(at)->next;
	} else {
		if (units > (size_t)(UNITS - end))
			return NULL;
		at = end;
		end = (uint16_t)(end + units);
		block_of(at)->units = (uint16_t)units;
	}
	block_of(at)->next = USED;
	return arena.bytes + (size_t)at * UNIT;
}

/* Returns: the number of its first unit, or 0 for a block of musl's and NULL. */
static uint16_t arena_find(const void *block)
{
	uintptr_t offset = (uintptr_t)block - (uintptr_t)arena.bytes;
	uint16_t at = (uint16_t)(offset / UNIT);

	if (offset >= sizeof(arena.bytes))
		return 0;
	if (offset % UNIT != 0 || block_of(at)->next != USED)
		abort();
	return at;
}

static void arena_release(uint16_t at)
{
	struct block *block = block_of(at);

	if (at + block->units == end) {
		end = at;
		*block = (struct block){};
		return;
	}
	block->next = arena.free_blocks[block->units];
	arena.free_blocks[block->units] = at;
}

void *__wrap_malloc(size_t size)
{
	void *block = arena_take(size);

	return block ? block : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	void *block = NULL;
	size_t all;

	if (!__builtin_mul_overflow(count, size, &all))
		block = arena_take(all);
	return block ? memset(block, 0, all) : __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
	uint16_t at = arena_find(block);
	size_t held = (size_t)block_of(at)->units * UNIT;
	void *moved;

	if (!block)
		return __wrap_malloc(size);
	if (at == 0)
		return __real_realloc(block, size);
	if (size <= held)
		return block;
	moved = __wrap_malloc(size);
	if (!moved)
		return NULL;
	memcpy(moved, block, held);
	arena_release(at);
	return moved;
}

void __wrap_free(void *block)
{
	uint16_t at = arena_find(block);

	if (at == 0)
		__real_free(block);
	else
		arena_release(at);
}
/* NOLINTEND(bugprone-reserved-identifier, cert-dcl37-c, cert-dcl51-cpp) */

char *arena_start(void)
{
	return arena.bytes;
}

void arena_trim(void)
{
	enum { PER_PAGE = PAGE / UNIT, PAGES = UNITS / PER_PAGE };
	bool used[PAGES] = {};

	for (size_t at = 1; at < end; at += block_of(at)->units)
		for (size_t i = at; block_of(at)->next == USED && i < at + block_of(at)->units; i++)
			used[i / PER_PAGE] = true;
	for (size_t i = 0; i < PAGES; i++)
		if (!used[i])
			madvise(arena.bytes + i * PAGE, PAGE, MADV_DONTNEED);
}
