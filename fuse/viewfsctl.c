/* SPDX-License-Identifier: Apache-2.0 */
/* viewfsctl COMMAND: look at views, and after them. */
#include <stdio.h>
#include <string.h>

#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/base/words.h"
#include "fuse/cli/output.h"
#include "fuse/cli/version.h"
#include "fuse/ctl/ctl.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"list", ctl_list, "the views that are mounted here, dead or alive"},
	{"resolve", ctl_resolve, "what a view of a source would hold, and from which layer"},
	{"umount", ctl_umount, "unmount views, dead or alive, and end their processes"},
	{"gc", ctl_gc, "remove dead views, and what is kept of layers that are gone"},
	{"index", ctl_index, "the layer index: list, verify or clear it"},
	{"doctor", ctl_doctor, "what on this machine is not as views need it, and the fix"},
};

static void print_help(void)
{
	puts("Usage: viewfsctl COMMAND [options]\n"
	     "\n"
	     "Inspects, unmounts and cleans up views of container images.\n"
	     "\n"
	     "Commands:");
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].help);
	puts("\n"
	     "'cache' is an alias of 'index'.\n"
	     "\n"
	     "  -h, --help       this text; after a command, that command's\n"
	     "  -V, --version    the version, and what this build and this kernel can do");
}

/* Says that there is no command *name*. Returns: the exit status. */
static int fail_unknown(const char *name)
{
	struct nearest nearest = nearest_to(name, strlen(name));
	VIEW_ERROR(error);

	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		nearest_offer(&nearest, commands[i].name);
	if (!*name)
		view_fail(&error, MSG_NO_OPERAND, "COMMAND");
	else if (*nearest.word)
		view_fail(&error, MSG_COMMAND_NEAR, name, nearest.word);
	else
		view_fail(&error, MSG_COMMAND, name);
	return ctl_fail(NULL, &error);
}

int main(int argc, char **argv)
{
	static char index_name[] = "index";
	const char *name = argc > 1 ? argv[1] : "";

	/* The command's name until version 0.1.0. */
	if (strcmp(name, "cache") == 0)
		name = argv[1] = index_name;

	log_setup("viewfsctl", &(struct log_options){.level = LOG_LEVEL_INFO});
	if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0) {
		print_help();
		return output_finish(0);
	}
	if (strcmp(name, "-V") == 0 || strcmp(name, "--version") == 0) {
		version_print("viewfsctl");
		return output_finish(0);
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (strcmp(name, commands[i].name) == 0)
			return output_finish(commands[i].run(argc - 1, argv + 1));
	return fail_unknown(name);
}
