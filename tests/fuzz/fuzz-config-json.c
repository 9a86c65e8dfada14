/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle's config.json: where its rootfs is, and the annotations that may name what boots. */
#include <string.h>

#include "fuse/base/json.h"
#include "fuse/source/bundle.h"
#include "fuse/view/urunc-config.h"
#include "tests/fuzz/check.h"

/* With both paths given no layer is read, so there need not be any. */
static void read_boot(struct json_object *annotations)
{
	VIEW_ERROR(error);
	cleanup_with(image_file_done) struct image_file file = IMAGE_FILE_INIT;
	cleanup_with(urunc_config_done) struct urunc_config boot = {};
	char binary[] = "/kernel", initrd[] = "/initrd";
	struct options options = OPTIONS_INIT;
	int r;

	options.binary = binary;
	options.initrd = initrd;
	r = urunc_config_read(&options, annotations, NULL, &boot, &file, &error);
	require_reason(r, &error);
	require(r == 0 || error.code == CODE_ECONFIG, "the annotations are to blame");
	require(r < 0 || (strcmp(boot.binary, binary) == 0 && strcmp(boot.initrd, initrd) == 0),
		"what was given takes the place of the annotations");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = input_string(data, size);
	VIEW_ERROR(error);
	cleanup_with(bundle_config_done) struct bundle_config config = {};
	int r = bundle_config_parse(text, size, "config.json", &config, &error);

	require_reason(r, &error);
	require(r == 0 || error.code == CODE_ECONFIG, "the configuration is to blame");
	require((r == 0) == (config.rootfs != NULL), "a good configuration has a rootfs");
	require(!config.rootfs || *config.rootfs, "the rootfs has a name");
	require(!config.annotations || json_object_is_type(config.annotations, json_type_object),
		"annotations are an object");
	if (r == 0)
		read_boot(config.annotations);
	return 0;
}
