/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/process/memory.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Linux 5.14; not in musl's headers. */
#define POPULATE_READ  22
#define POPULATE_WRITE 23

enum {
	PAGE = 4096,
	MARGIN = 512, /* what a small function and those it calls take of the stack */
	RELEASED = 128 << 10,
	HEAP_USED = 28 << 10, /* by a start with the usual arguments */
};

/* From the linker: the program as it is mapped, from its header to the end of its code. */
/* NOLINTNEXTLINE(bugprone-reserved-identifier, cert-dcl37-c, cert-dcl51-cpp) */
extern char __executable_start[], etext[];

void memory_populate_below(void *end, size_t size)
{
	madvise((char *)end - size, size, POPULATE_WRITE);
}

static void populate_heap(void)
{
#ifdef __GLIBC__
	char *begin = sbrk(0);

	/* The first block has the heap made. A sanitizer's lies elsewhere. */
	free(malloc(1));
	if ((char *)sbrk(0) - begin > HEAP_USED)
		memory_populate_below(begin + HEAP_USED, HEAP_USED);
#endif
}

void memory_populate_program(void)
{
	uintptr_t begin = (uintptr_t)__executable_start & ~(uintptr_t)(PAGE - 1);

	madvise((void *)begin, (uintptr_t)etext - begin, POPULATE_READ);
	populate_heap();
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
	/* musl has no such call: its allocator decides which free pages it returns. */
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}
