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

static const struct option known[] = {
	{"json", no_argument, NULL, OPT_JSON},
	{"dry-run", no_argument, NULL, OPT_DRY_RUN},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{},
};

/* Returns: as ctl_parse(). */
static int parse(int argc, char **argv, const struct ctl_usage *words, struct ctl_call *ret,
		 struct view_error *error)
{
	static const char letters[] = ":hV";
	int option;

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
		if (option == OPT_JSON && words->json)
			ret->json = true;
		else if (option == OPT_DRY_RUN && words->dry_run)
			ret->dry_run = true;
		else if (option == OPT_JSON || option == OPT_DRY_RUN)
			return view_fail(error, MSG_ARGUMENT, argv[optind - 1]);
		else
			return arguments_refuse(argv, letters, error);
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
		fprintf(stderr, "Try 'viewfsctl %s --help' for more information.\n", command);
	return view_code_exit(error->code);
}

int ctl_fail_errno(const char *what, int r)
{
	VIEW_ERROR(error);

	view_fail(&error, MSG_SYSTEM, what, strerror(-r));
	return ctl_fail("", &error);
}
