/* SPDX-License-Identifier: Apache-2.0 */
/* containerd's mounts as JSON, into the layers of an overlay. */
#include "fuse/source/containerd-mounts.h"
#include "tests/fuzz/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = input_string(data, size);
	VIEW_ERROR(error);
	cleanup_with(overlay_options_done) struct overlay_options overlay = {};
	int r = mounts_parse(text, size, "mounts", &overlay, &error);

	require_reason(r, &error);
	require(r == 0 || error.code == CODE_EUSAGE || error.code == CODE_ENOTAPPLICABLE,
		"the call's words are to blame, or no view applies");
	require_sound_overlay(&overlay);
	return 0;
}
