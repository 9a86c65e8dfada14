/* SPDX-License-Identifier: Apache-2.0 */
/* urunc-viewfs [options] SOURCE MOUNTPOINT: make one view and serve it. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fuse/base/clock.h"
#include "fuse/base/log.h"
#include "fuse/cli/arguments.h"
#include "fuse/cli/output.h"
#include "fuse/cli/version.h"
#include "fuse/process/fds.h"
#include "fuse/process/inherited.h"
#include "fuse/process/memory.h"
#include "fuse/process/sandbox.h"
#include "fuse/serve/launcher.h"
#include "fuse/serve/takeover.h"

static void print_help(void)
{
	output_hold();
	puts("Usage: urunc-viewfs [options] SOURCE MOUNTPOINT\n"
	     "\n"
	     "Mounts a read-only view of a container image's layers that shows only what boots:\n"
	     "the unikernel, its initrd, and urunc.json.\n"
	     "\n"
	     "The layers, topmost first, come from exactly one of:\n"
	     "  -o lowerdir=A:B:C         those directories; SOURCE is a label\n"
	     "  --layer-fd=N              a directory, open as descriptor N; repeated; SOURCE is a "
	     "label\n"
	     "  --mounts=FILE             containerd's mounts as JSON (- is stdin); SOURCE is a "
	     "label\n"
	     "  --bundle=DIR              an OCI bundle's rootfs and annotations; SOURCE is a "
	     "label\n"
	     "  --container=ID            a running container, by the beginning of its id; SOURCE "
	     "is "
	     "a label\n"
	     "  --chain=sha256:HEX        the image with that chain id, in the artifact store; "
	     "also\n"
	     "                            beside --mounts, --bundle or --container, if those have "
	     "no layers\n"
	     "  --oci=LAYOUT[:REF]        an image in an OCI layout, which the store keeps; SOURCE "
	     "is\n"
	     "                            a label\n"
	     "  --content=STORE           an image in containerd's content store; also beside "
	     "--chain,\n"
	     "                            --mounts, --bundle or --container\n"
	     "  --manifest=sha256:HEX     its manifest, or an index, for --content\n"
	     "  SOURCE                    the overlay that is mounted there, or that one "
	     "directory\n"
	     "\n"
	     "Options:\n"
	     "  -o OPTIONS                mount options, separated by commas (see below)\n"
	     "  -f, --foreground          stay in the foreground\n"
	     "      --ready-fd=N          write a line of JSON to descriptor N when ready or "
	     "failed\n"
	     "      --lifeline=N          end the view when descriptor N closes\n"
	     "      --pass-mount=N        send the mount over the UNIX socket N instead of "
	     "attaching\n"
	     "                            it; MOUNTPOINT is -\n"
	     "      --id=ID               container id for logs and listings\n"
	     "      --state-dir=DIR       containerd's state directory, for --container\n"
	     "      --log-format=FORMAT   text or json\n"
	     "      --log-level=LEVEL     error, warn, info or debug\n"
	     "  -h, --help                this text\n"
	     "  -V, --version[=json]      the version, and what this build and this kernel can "
	     "do\n");
	options_help();
	puts("\nWithout CAP_SYS_ADMIN fusermount3 mounts the view, where that is allowed, and\n"
	     "-o userxattr is required.");
	puts("\nExit status: 0 ready, 1 usage, 2 system, 32 no view could be made.");
}

int main(int argc, char **argv)
{
	cleanup_with(arguments_done) struct arguments arguments = ARGUMENTS_INIT;
	struct launch_call call = {.view.start_us = now_us()};
	/* Not on the stack, of which a page of every view's memory would be left. */
	static struct view_error error;
	int r;

	inherited_settle();
	memory_populate_heap();
	if (fds_fill_stdio() < 0)
		return view_code_exit(CODE_ESYSTEM);
	/* For viewfsctl upgrade, not for people. */
	if (argc == 2 && strncmp(argv[1], TAKEOVER_ARGUMENT, strlen(TAKEOVER_ARGUMENT)) == 0)
		_exit(takeover_run(argv[1] + strlen(TAKEOVER_ARGUMENT)));
	sandbox_early(true);
	r = arguments_parse(&arguments, argc, argv, FOR_VIEW, &error);
	log_setup("urunc-viewfs", &arguments.log);
	call.ready_fd = arguments.ready_fd;
	call.pass_mount = arguments.pass_mount;
	if (r < 0) {
		r = launch_failed(&call, 0, &error);
		if (arguments.log.format == LOG_FORMAT_TEXT && error.code == CODE_EUSAGE)
			fputs("Try 'urunc-viewfs --help' for more information.\n", stderr);
		return r;
	}
	if (arguments.help) {
		print_help();
		return output_finish(0);
	}
	if (arguments.version) {
		if (arguments.json)
			version_print_json();
		else
			version_print("urunc-viewfs");
		return output_finish(0);
	}
	call.view.from = &arguments.from;
	call.view.options = &arguments.options;
	call.view.mountpoint = arguments.mountpoint;
	call.foreground = arguments.foreground;
	call.lifeline = arguments.lifeline;
	return launch(&call, &error);
}
