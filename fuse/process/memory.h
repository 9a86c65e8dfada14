/* SPDX-License-Identifier: Apache-2.0 */
/* Taking the memory that a start needs in few steps, and giving back what serving does not need. */
#pragma once

#include <stddef.h>

/*
 * Populates the *size* bytes below *end*, a page boundary, so that writing there causes no page
 * fault. A kernel before Linux 5.14 ignores it: every page is then populated when it is touched.
 */
void memory_populate_below(void *end, size_t size);

/* Does the same for the first pages of the heap. */
void memory_populate_heap(void);

/*
 * Drops the pages below *address* on its stack, up to 128 KiB. No frame there may be in use except
 * the caller's, which are above.
 */
void memory_release_below(const void *address);

/* Drops what lies below the caller's frame on its own stack: frames that have returned. */
void memory_release_stack(void);

/* Drops the free parts of the heap. */
void memory_release_heap(void);
