/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/cli/fill-progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_START  "\r"
#define TO_LINE_END "\033[K"

static const uint64_t megabyte = 1000000;

void fill_progress_show(const struct fill_progress *progress)
{
	char what[32] = "artifacts";

	if (progress->layer > 0)
		snprintf(what, sizeof(what), "layer %" PRIu32 " of %" PRIu32, progress->layer,
			 progress->layers);
	dprintf(STDERR_FILENO,
		LINE_START "%s: %" PRIu64 " of %" PRIu64 " MB, %" PRIu64 " MB/s" TO_LINE_END, what,
		progress->bytes / megabyte, progress->of / megabyte, progress->rate / megabyte);
}

void fill_progress_clear(void)
{
	dprintf(STDERR_FILENO, LINE_START TO_LINE_END);
}
