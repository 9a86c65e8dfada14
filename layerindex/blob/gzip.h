/* SPDX-License-Identifier: Apache-2.0 */
/* Members of gzip, by zlib or by ISA-L, which is faster (-Disal=): one decoder, two files. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct gzip;

/* What is decoded, and where to; a call moves all four. */
struct gzip_step {
	const uint8_t *in;
	size_t in_left; /* at most UINT32_MAX, as *out_left* */
	uint8_t *out;
	size_t out_left;
};

/* Returns: a decoder at the beginning of a member, owned by the caller, or NULL without memory. */
struct gzip *gzip_new(void);

/* Releases it; NULL is ignored. */
void gzip_free(struct gzip *gzip);

/* Goes to the beginning of a member. */
void gzip_restart(struct gzip *gzip);

/*
 * Decodes until there is no more input, or no more room.
 * Returns: 1: the member ends, and its checksums were right; 0; -EBADMSG; -ENOMEM.
 */
int gzip_decode(struct gzip *gzip, struct gzip_step *step);
