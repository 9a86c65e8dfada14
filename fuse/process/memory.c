/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/process/memory.h"

#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>

enum {
	PAGE = 4096,
	MARGIN = 512, /* what a small function and those it calls take of the stack */
	RELEASED = 128 << 10,
};

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
	/* musl has no such call: what is free there is kept, or given back, by itself. */
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}
