/* SPDX-License-Identifier: Apache-2.0 */
/* urunc.json from an image, under both rules for its values. */
#include <string.h>

#include "fuse/view/urunc-config.h"
#include "tests/fuzz/check.h"

static void check_boot(int r, const struct urunc_config *boot)
{
	require((r == 0) == (boot->binary != NULL), "a boot, and only that, has a binary");
	require(r == 0 || !boot->initrd, "a failure leaves no initrd");
	require(!boot->binary || *boot->binary, "the binary is not empty");
	require(!boot->initrd || *boot->initrd, "the initrd is not empty");
}

/* What urunc_path_fault() promises of a path that it lets pass. */
static void check_path(const char *path)
{
	if (!path || urunc_path_fault(path))
		return;
	require(strlen(path) <= ARTIFACT_PATH_MAX, "an allowed path is short");
	require(!strstr(path, "//"), "an allowed path has no empty component");
	require(!strstr(path, "/../") && strncmp(path, "..", 2) != 0,
		"an allowed path does not lead upwards");
	require(path[strlen(path) - 1] != '/', "an allowed path does not end in a slash");
	for (const char *p = path; *p; p++)
		require((*p > ' ' && *p < 0x7f), "an allowed path is printable");
}

static int parse(const char *text, size_t size, enum decode_rule decode)
{
	VIEW_ERROR(error);
	cleanup_with(urunc_config_done) struct urunc_config boot = {};
	int r = urunc_config_parse(text, size, decode, &boot, &error);

	require_reason(r, &error);
	require(r == 0 || error.code == CODE_ECONFIG, "the configuration is to blame");
	check_boot(r, &boot);
	check_path(boot.binary);
	check_path(boot.initrd);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = input_string(data, size);
	int strict = parse(text, size, DECODE_STRICT);
	int lenient = parse(text, size, DECODE_AUTO);

	require(strict < 0 || lenient == 0, "what is right by the strict rule is so by the other");
	return 0;
}
