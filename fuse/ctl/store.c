/* SPDX-License-Identifier: Apache-2.0 */
/* viewfsctl store: the artifact store, urunc-viewfs-store(5). */
#include "fuse/ctl/store.h"

#include <stdio.h>
#include <string.h>

#include "fuse/base/messages.h"
#include "fuse/cli/options.h"
#include "fuse/cli/version.h"

void store_print_help(void)
{
	puts("Usage: viewfsctl store add --chain=sha256:HEX --tree=DIR [options]\n"
	     "\n"
	     "Adds an image to the artifact store, for urunc-viewfs --chain: the artifacts that a\n"
	     "view would show, or that there are none.\n"
	     "\n"
	     "      --chain=DIGEST  the image's chain id\n"
	     "      --tree=DIR      the unpacked image: the root of a read-only mount, such as a\n"
	     "                      snapshotter's View of the chain. The caller must ensure that\n"
	     "                      it is the unpacked chain\n"
	     "      --bundle=DIR    an OCI bundle whose annotations count, as for urunc-viewfs(8)\n"
	     "  -o OPTIONS          mount options, separated by commas (see below)\n"
	     "      --json          JSON lines\n"
	     "  -h, --help          this text\n"
	     "  -V, --version       the version, and what this build and this kernel can do\n");
	options_help();
	puts("\nExit status: 0, 1 usage, 2 system, 32 a view of the image could not boot.");
}

static int store_run(const struct ctl_call *call, struct view_error *error)
{
	const char *action = call->argc > 1 ? call->argv[1] : "";
	struct nearest nearest = nearest_to(action, strlen(action));

	if (strcmp(action, "-h") == 0 || strcmp(action, "--help") == 0) {
		store_print_help();
		return 0;
	}
	if (strcmp(action, "-V") == 0 || strcmp(action, "--version") == 0) {
		version_print("viewfsctl");
		return 0;
	}
	if (strcmp(action, "add") == 0)
		return store_add(call->argc - 1, call->argv + 1, error);
	if (!*action)
		return view_fail(error, MSG_NO_OPERAND, "add");
	nearest_offer(&nearest, "add");
	return ctl_refuse(&nearest, error);
}

const struct ctl_command ctl_store = {
	.name = "store",
	.summary = "the artifact store: add an image",
	.print_help = store_print_help,
	.run = store_run,
	.parses = true,
};
