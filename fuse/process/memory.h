/* SPDX-License-Identifier: Apache-2.0 */
/* Giving memory back that was needed for a moment and never will be again. */
#pragma once

/*
 * Drops what lies below *address* on the stack it is on, up to 128 KiB. Nobody may be running there
 * any more, but for the caller in frames above.
 */
void memory_release_below(const void *address);

/* Drops what lies below the caller's frame on its own stack: frames that have returned. */
void memory_release_stack(void);

/* Drops the free parts of the heap. */
void memory_release_heap(void);
