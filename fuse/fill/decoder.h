/* SPDX-License-Identifier: Apache-2.0 */
/* A confined child that turns one blob into plain bytes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	/* Of a processor, beside a second for each so many bytes of the blob. */
	DECODER_SECONDS = 30,
	DECODER_BYTES_A_SECOND = 4 << 20,
};

/* How a decoder ends. */
enum decoder_status {
	DECODER_DONE,
	DECODER_DAMAGED,
	DECODER_PLAIN_LIMIT,
	DECODER_WINDOW_LIMIT,
	DECODER_SYSTEM,
};

/* What a decoder is to decode, of the blob from the place of its descriptor on. */
struct decoder_work {
	int64_t size;	      /* of it: STREAM_TO_END, or fewer bytes */
	int64_t skip, length; /* the plain bytes to hand out, if there are as many */
	bool table;	      /* not those, but the table of an eStargz that is in them */
};

/* The whole blob. */
#define DECODE_ALL ((struct decoder_work){INT64_MAX, 0, INT64_MAX, false})

/* Starts a decoder of the blob at *blob* that writes into *to*. Returns: a pid, or -errno. */
pid_t decoder_start(int blob, int to, const struct decoder_work *work);
