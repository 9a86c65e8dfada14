/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the layers said when they were asked, kept for the index. From it follows what a layer shows
 * together with those below it, for each layer that an image may have on top of others'.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "layerindex/index/facts.h"

enum seen {
	SEEN_NOTHING, /* it was not asked, or failed */
	SEEN_ABSENT,
	SEEN_WHITEOUT,
	SEEN_LEAF,
	SEEN_DIRECTORY,
	SEEN_LAST_DIRECTORY, /* opaque */
	SEEN_HIDDEN,	     /* no directory, below one: nobody looked what it is */
};

/* One path, in each layer. */
struct observation {
	char *path;	   /* owned */
	uint8_t *seen;	   /* enum seen; owned */
	struct stamp leaf; /* where a layer has one: below it none was asked */
};

struct observed {
	struct observation items[FACTS_MAX];
	size_t count;
	size_t layers;
};

/*
 * The row of *path*, borrowed until observed_done(); NULL: there is no room for it, and it is not
 * kept.
 */
struct observation *observed_row(struct observed *observed, const char *path);

/*
 * Draws the conclusions for the layers from *first* on. Those from *known* on were not asked:
 * *below* speaks for all of them together. What does not follow is left out.
 * Returns: 0, with the facts added to *ret; -ENOMEM.
 */
int observed_conclude(const struct observed *observed, size_t first, size_t known,
		      const struct facts *below, struct facts *ret);

void observed_done(struct observed *observed);
