/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ctl/store-progress.h"

#include <inttypes.h>
#include <stdio.h>

#include "fuse/base/clock.h"

static struct {
	bool json, shown;
	uint64_t next_us; /* when a report is due */
	/* The layer at work, or the artifacts. */
	uint32_t layer;
	uint64_t layer_start_us;
} work;

void store_progress_start(uint64_t start_us, bool json)
{
	work.json = json;
	work.next_us = start_us + FILL_PROGRESS_FIRST_US;
	work.layer_start_us = now_us();
}

static void print_json(const struct fill_progress *progress)
{
	printf("{\"progress\":{");
	if (progress->layer > 0)
		printf("\"layer\":%" PRIu32 ",\"layers\":%" PRIu32 ",", progress->layer,
		       progress->layers);
	printf("\"bytes\":%" PRIu64 ",\"of\":%" PRIu64 ",\"rate\":%" PRIu64 "}}\n", progress->bytes,
	       progress->of, progress->rate);
	fflush(stdout);
}

void store_progress_tell(const struct fill_progress *progress)
{
	struct fill_progress told = *progress;
	uint64_t now = now_us();

	if (work.layer != progress->layer) {
		work.layer = progress->layer;
		work.layer_start_us = now;
	}
	if (now < work.next_us)
		return;
	work.next_us = now + FILL_PROGRESS_US;
	if (now > work.layer_start_us)
		told.rate = progress->bytes * 1000000 / (now - work.layer_start_us);
	if (work.json) {
		print_json(&told);
		return;
	}
	fill_progress_show(&told);
	work.shown = true;
}

void store_progress_end(void)
{
	if (work.shown)
		fill_progress_clear();
	work.shown = false;
}
