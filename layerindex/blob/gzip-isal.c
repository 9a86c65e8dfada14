/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ISA-L reads up to eight bytes ahead of what it has decoded. Behind a member these are a part of
 * its trailer, which has eight: what is left of the input is another member's, all of it.
 */
#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>

#include "layerindex/blob/gzip.h"

struct gzip {
	struct inflate_state state;
};

struct gzip *gzip_new(void)
{
	struct gzip *gzip = calloc(1, sizeof(*gzip));

	if (gzip)
		gzip_restart(gzip);
	return gzip;
}

void gzip_free(struct gzip *gzip)
{
	free(gzip);
}

void gzip_restart(struct gzip *gzip)
{
	isal_inflate_init(&gzip->state);
	gzip->state.crc_flag = ISAL_GZIP;
}

int gzip_decode(struct gzip *gzip, struct gzip_step *step)
{
	struct inflate_state *state = &gzip->state;
	int r;

	/* It does not write there. */
	state->next_in = (uint8_t *)(uintptr_t)step->in;
	state->avail_in = (uint32_t)step->in_left;
	state->next_out = step->out;
	state->avail_out = (uint32_t)step->out_left;
	r = isal_inflate(state);
	*step = (struct gzip_step){state->next_in, state->avail_in, state->next_out,
				   state->avail_out};
	if (r < 0 || r == ISAL_NEED_DICT)
		return -EBADMSG;
	return state->block_state == ISAL_BLOCK_FINISH;
}
