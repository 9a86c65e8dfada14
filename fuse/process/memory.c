/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/process/memory.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef VIEWFS_ARENA
#include "fuse/process/arena.h"
#endif

/* Linux 5.14; not in musl's headers. */
#define POPULATE_WRITE 23

enum {
	PAGE = 4096,
	MARGIN = 512, /* what a small function and those it calls take of the stack */
	RELEASED = 128 << 10,
	HEAP_USED = 16 << 10, /* by a start with the usual arguments */
};

void memory_populate_below(void *end, size_t size)
{
	madvise((char *)end - size, size, POPULATE_WRITE);
}

void memory_populate_heap(void)
{
#if defined(VIEWFS_ARENA)
	memory_populate_below(arena_start() + HEAP_USED, HEAP_USED + ARENA_KNOWN);
#elif defined(__GLIBC__)
	char *begin = sbrk(0);

	/* The first block has the heap made. A sanitizer's lies elsewhere. */
	free(malloc(1));
	if ((char *)sbrk(0) - begin > HEAP_USED)
		memory_populate_below(begin + HEAP_USED, HEAP_USED);
#endif
}

void memory_release_below(const void *address)
{
	uintptr_t end = (uintptr_t)address & ~(uintptr_t)(PAGE - 1);

	/* Where the stack has not grown that far there is nothing, and an error that says so. */
	madvise((void *)(end - RELEASED), RELEASED, MADV_DONTNEED);
}

__attribute__((noinline)) void memory_release_stack(void)
{
	memory_release_below((char *)__builtin_frame_address(0) - MARGIN);
}

void memory_release_heap(void)
{
#if defined(VIEWFS_ARENA)
	arena_trim();
#elif defined(__GLIBC__)
	malloc_trim(0);
#endif
}
