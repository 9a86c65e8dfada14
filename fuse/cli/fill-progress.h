/* SPDX-License-Identifier: Apache-2.0 */
/* How far a process is that fills the artifact store, and one line of it on a terminal. */
#pragma once

#include <stdint.h>

enum {
	FILL_PROGRESS_FIRST_US = 1000000, /* what takes less shows nothing */
	FILL_PROGRESS_US = 200000,	  /* between two reports */
};

struct fill_progress {
	/* Which layer is read, the lowest is 1; 0: artifacts are copied. */
	uint32_t layer, layers;
	uint64_t bytes, of; /* read of the layer's blob, or copied, of so many */
	uint64_t rate;	    /* bytes a second */
};

/* Shows it on stderr, in place of what was shown before. Nothing happens where that fails. */
void fill_progress_show(const struct fill_progress *progress);

/* Removes what was shown. */
void fill_progress_clear(void);
