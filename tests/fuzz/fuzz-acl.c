/* SPDX-License-Identifier: Apache-2.0 */
/* An access ACL of a layer's file only ever takes permissions away, and never the owner's. */
#include <sys/stat.h>

#include "fuse/source/acl.h"
#include "tests/fuzz/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	mode_t mode = size > 1 ? (mode_t)(data[0] << 8 | data[1]) & 07777 : 0777;
	size_t skipped = size > 1 ? 2 : 0;
	mode_t narrowed = acl_narrow(data + skipped, size - skipped, mode);

	require((narrowed & ~mode) == 0, "no permission is added");
	require(((mode ^ narrowed) & ~(mode_t)(S_IRWXG | S_IRWXO)) == 0, "the owner's bits stay");
	return 0;
}
