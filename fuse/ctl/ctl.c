/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ctl/ctl.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/cli/arguments.h"
#include "fuse/cli/version.h"

enum { OPT_JSON = 256, OPT_DRY_RUN };

/* The options that a command knows, as getopt_long(3) wants them. */
static void list_known(const struct ctl_usage *words, struct option ret[static 5])
{
	if (words->json)
		*ret++ = (struct option){"json", no_argument, NULL, OPT_JSON};
	if (words->dry_run)
		*ret++ = (struct option){"dry-run", no_argument, NULL, OPT_DRY_RUN};
	*ret++ = (struct option){"help", no_argument, NULL, 'h'};
	*ret++ = (struct option){"version", no_argument, NULL, 'V'};
	*ret = (struct option){};
}

/* Returns: as ctl_parse(). */
static int parse(int argc, char **argv, const struct ctl_usage *words, struct ctl_call *ret,
		 struct view_error *error)
{
	static const char letters[] = ":hV";
	struct option known[5];
	int option;

	list_known(words, known);
	optind = 1;
	opterr = 0;
	while ((option = getopt_long(argc, argv, letters, known, NULL)) >= 0) {
		if (option == 'h') {
			words->print_help();
			return 0;
		}
		if (option == 'V') {
			version_print("viewfsctl");
			return 0;
		}
		if (option == OPT_JSON)
			ret->json = true;
		else if (option == OPT_DRY_RUN)
			ret->dry_run = true;
		else
			return arguments_refuse(argv, letters, known, error);
	}
	ret->operands = argv + optind;
	if (words->operands && optind == argc)
		return view_fail(error, MSG_NO_OPERAND, words->operands);
	if (!words->operands && optind < argc)
		return view_fail(error, MSG_TOO_MANY, argv[optind]);
	return -1;
}

int ctl_parse(int argc, char **argv, const struct ctl_usage *words, struct ctl_call *ret)
{
	VIEW_ERROR(error);
	int r;

	log_setup("viewfsctl", &(struct log_options){.level = LOG_LEVEL_INFO});
	*ret = (struct ctl_call){};
	r = parse(argc, argv, words, ret, &error);
	return error.code == CODE_NONE ? r : ctl_fail(argv[0], &error);
}

int ctl_fail(const char *command, const struct view_error *error)
{
	log_error("%s", error->message);
	if (error->code == CODE_EUSAGE)
		fprintf(stderr, "Try 'viewfsctl%s%s --help' for more information.\n",
			command ? " " : "", command ? command : "");
	return view_code_exit(error->code);
}

int ctl_fail_errno(const char *what, int r)
{
	VIEW_ERROR(error);

	view_fail(&error, MSG_SYSTEM, what, strerror(-r));
	return ctl_fail(NULL, &error);
}
