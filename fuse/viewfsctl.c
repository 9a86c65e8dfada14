/* SPDX-License-Identifier: Apache-2.0 */
/* viewfsctl COMMAND: look at views, and after them. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/log.h"
#include "fuse/cli/output.h"
#include "fuse/cli/version.h"
#include "fuse/ctl/ctl.h"
#include "fuse/ctl/table.h"
#include "fuse/process/fds.h"

static const struct ctl_command *const commands[] = {
	&ctl_list,  &ctl_resolve, &ctl_umount, &ctl_upgrade, &ctl_gc,
	&ctl_index, &ctl_store,	  &ctl_doctor, NULL,
};

static void print_help(void)
{
	puts("Usage: viewfsctl COMMAND [options]\n"
	     "\n"
	     "Inspects, unmounts and cleans up views of container images.\n"
	     "\n"
	     "Commands:");
	for (size_t i = 0; commands[i]; i++)
		printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
	puts("\n"
	     "'cache' is an alias of 'index'.\n"
	     "\n"
	     "  -h, --help       this text, or the text of a command after the command\n"
	     "  -V, --version    the version, and what this build and this kernel can do");
}

/* Returns: < 0 with *error*. */
static int refuse_command(const char *name, struct view_error *error)
{
	struct nearest nearest = nearest_to(name, strlen(name));

	for (size_t i = 0; commands[i]; i++)
		nearest_offer(&nearest, commands[i]->name);
	return ctl_refuse(&nearest, error);
}

static const struct ctl_command *find_command(const char *name)
{
	/* The name of 'index' until version 0.1.0. */
	if (strcmp(name, "cache") == 0)
		return &ctl_index;
	for (size_t i = 0; commands[i]; i++)
		if (strcmp(name, commands[i]->name) == 0)
			return commands[i];
	return NULL;
}

/* What the caller made of signals is undone: children are waited for, and a pipe may close. */
static void set_signals(void)
{
	sigset_t none;

	signal(SIGCHLD, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "--help";
	const struct ctl_command *command = find_command(name);
	VIEW_ERROR(error);
	int r = 0;

	set_signals();
	fds_fill_stdio();
	log_setup("viewfsctl", &(struct log_options){.level = LOG_LEVEL_INFO});
	colour_setup();
	if (command)
		r = ctl_run(command, argc - 1, argv + 1, &error);
	else if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0)
		print_help();
	else if (strcmp(name, "-V") == 0 || strcmp(name, "--version") == 0)
		version_print("viewfsctl");
	else
		r = refuse_command(name, &error);
	return output_finish(r < 0 ? ctl_fail(command ? command->name : NULL, &error) : r);
}
