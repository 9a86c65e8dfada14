/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#define ZLIB_CONST
#include <zlib.h>

#include "layerindex/blob/gzip.h"

enum { GZIP_WINDOW = 15 + 16 }; /* the largest; in gzip's wrapping, no other */

struct gzip {
	z_stream stream;
};

struct gzip *gzip_new(void)
{
	struct gzip *gzip = calloc(1, sizeof(*gzip));

	if (gzip && inflateInit2(&gzip->stream, GZIP_WINDOW) == Z_OK)
		return gzip;
	free(gzip);
	return NULL;
}

void gzip_free(struct gzip *gzip)
{
	if (gzip)
		inflateEnd(&gzip->stream);
	free(gzip);
}

void gzip_restart(struct gzip *gzip)
{
	inflateReset(&gzip->stream);
}

int gzip_decode(struct gzip *gzip, struct gzip_step *step)
{
	z_stream *stream = &gzip->stream;
	int r;

	stream->next_in = step->in;
	stream->avail_in = (uInt)step->in_left;
	stream->next_out = step->out;
	stream->avail_out = (uInt)step->out_left;
	r = inflate(stream, Z_NO_FLUSH);
	*step = (struct gzip_step){stream->next_in, stream->avail_in, stream->next_out,
				   stream->avail_out};
	switch (r) {
	case Z_STREAM_END: return 1;
	case Z_OK:
	case Z_BUF_ERROR: return 0;
	case Z_MEM_ERROR: return -ENOMEM;
	default: return -EBADMSG;
	}
}
