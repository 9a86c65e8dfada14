/* SPDX-License-Identifier: Apache-2.0 */
/* A compressed blob: its decoders end, and stay ended. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "layerindex/blob/stream.h"
#include "layerindex/cleanup.h"
#include "tests/fuzz/check.h"

/* Plain bytes that are read of one input: a few bytes of it may stand for very many. */
enum { PLAIN_MAX = 4 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_close int fd = memfd_create("blob", MFD_CLOEXEC);
	static char buffer[64 << 10];
	struct stream *stream;
	ssize_t n = 1;

	require(fd >= 0 && write(fd, data, size) == (ssize_t)size, "there is memory for a blob");
	require(lseek(fd, 0, SEEK_SET) == 0, "a blob begins at its start");
	require(stream_open(fd, STREAM_TO_END, &stream) == 0, "any blob can be begun");
	for (size_t read = 0; n > 0 && read < PLAIN_MAX; read += (size_t)n) {
		n = stream_read(stream, buffer, sizeof(buffer));
		require(n >= 0 || n == -EBADMSG || n == -E2BIG || n == -EFBIG,
			"a blob is read, or refused");
	}
	if (n == 0)
		require(stream_read(stream, buffer, sizeof(buffer)) == 0, "its end stays");
	stream_close(stream);
	return 0;
}
