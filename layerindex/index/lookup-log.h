/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the layers said when they were asked, kept for the index. From it follows what a layer shows
 * together with those below it, for each layer that an image may have on top of others'.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "layerindex/index/facts.h"

enum probe_result {
	PROBE_NOTHING, /* it was not asked, or failed */
	PROBE_ABSENT,
	PROBE_WHITEOUT,
	PROBE_LEAF,
	PROBE_DIRECTORY,
	PROBE_LAST_DIRECTORY, /* opaque */
	PROBE_HIDDEN,	      /* no directory, below one: its type was not asked */
};

/* One path, in each layer. */
struct probe {
	char *path;	   /* owned */
	uint8_t *results;  /* enum probe_result; owned */
	struct stamp leaf; /* where a layer has one: below it none was asked */
};

struct lookup_log {
	struct probe *items; /* FACTS_MAX of them, from the first probe on; owned */
	size_t count;
	size_t layers;
};

/*
 * The row of *path*, borrowed until lookup_log_done(); NULL: there is no room for it, and it is not
 * kept.
 */
struct probe *lookup_log_probe(struct lookup_log *log, const char *path);

/*
 * Draws the conclusions for the layers from *first* on. Those from *known* on were not asked:
 * *below* speaks for all of them together. What does not follow is left out.
 * Returns: 0, with the facts added to *ret; -ENOMEM.
 */
int lookup_log_conclude(const struct lookup_log *log, size_t first, size_t known,
			const struct facts *below, struct facts *ret);

void lookup_log_done(struct lookup_log *log);
