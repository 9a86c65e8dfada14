/* SPDX-License-Identifier: Apache-2.0 */
/* A line of mountinfo, whose options are taken as those of an overlay, whatever it is. */
#include <string.h>

#include "fuse/mount/mountinfo.h"
#include "fuse/source/mounted-overlay.h"
#include "tests/fuzz/check.h"

static void check_inside(const char *field, const char *line, size_t size)
{
	require(field >= line && field + strlen(field) <= line + size, "a field lies in the line");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *line = input_string(data, size);
	VIEW_ERROR(error);
	cleanup_with(overlay_options_done) struct overlay_options overlay = {};
	struct mount_entry entry;
	int r;

	if (mount_entry_parse(line, &entry) < 0)
		return 0;
	check_inside(entry.root, line, size);
	check_inside(entry.mountpoint, line, size);
	check_inside(entry.type, line, size);
	check_inside(entry.source, line, size);
	check_inside(entry.super, line, size);
	r = mounted_options_parse(entry.super, "overlay", &overlay, &error);
	require_reason(r, &error);
	require_sound_overlay(&overlay);
	return 0;
}
