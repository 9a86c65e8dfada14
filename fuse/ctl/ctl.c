/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ctl/ctl.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/json.h"
#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/cli/arguments.h"
#include "fuse/cli/version.h"
#include "fuse/process/sandbox.h"

enum {
	OPT_JSON = 256,
	OPT_DRY_RUN,
	OPT_REPAIR,
	OPT_ALL,
	OPT_PROMETHEUS,
	OPT_ID,
	OPT_CONTAINER,
	OPT_STATE_DIR,
	OPT_BINARY,
	OPTIONS_MAX = 12,
	/* Of an id of 64 digits, as containerd's are, so many are enough: as on a terminal. */
	ID_DIGITS = 64,
	ID_DIGITS_MIN = 12,
};

/* The options that *command* knows, as getopt_long(3) wants them. */
static void command_options(const struct ctl_command *command,
			    struct option ret[static OPTIONS_MAX])
{
	if (command->json)
		*ret++ = (struct option){"json", no_argument, NULL, OPT_JSON};
	if (command->dry_run)
		*ret++ = (struct option){"dry-run", no_argument, NULL, OPT_DRY_RUN};
	if (command->repair)
		*ret++ = (struct option){"repair", no_argument, NULL, OPT_REPAIR};
	if (command->all)
		*ret++ = (struct option){"all", no_argument, NULL, OPT_ALL};
	if (command->prometheus)
		*ret++ = (struct option){"prometheus", no_argument, NULL, OPT_PROMETHEUS};
	if (command->id)
		*ret++ = (struct option){"id", required_argument, NULL, OPT_ID};
	if (command->container) {
		*ret++ = (struct option){"container", required_argument, NULL, OPT_CONTAINER};
		*ret++ = (struct option){"state-dir", required_argument, NULL, OPT_STATE_DIR};
	}
	if (command->binary)
		*ret++ = (struct option){"binary", required_argument, NULL, OPT_BINARY};
	*ret++ = (struct option){"help", no_argument, NULL, 'h'};
	*ret++ = (struct option){"version", no_argument, NULL, 'V'};
	*ret = (struct option){};
}

static int parse_list(struct options *options, const char *list, struct view_error *error)
{
	cleanup_free char *copy = strdup(list);

	return copy ? options_parse(options, copy, error) : view_fail(error, MSG_NO_MEMORY);
}

/* Returns: > 0: there is something to do; or as parse(). */
static int check_operands(const struct ctl_command *command, struct ctl_call *call,
			  struct view_error *error)
{
	call->operands = call->argv + optind;
	if (call->id && !*call->id)
		return view_fail(error, MSG_EMPTY, "--id");
	if (call->binary && !*call->binary)
		return view_fail(error, MSG_EMPTY, "--binary");
	if (call->container.container && !*call->container.container)
		return view_fail(error, MSG_EMPTY, "--container");
	if (call->container.state_dir && !call->container.container)
		return view_fail(error, MSG_NO_OPERAND, "--container");
	if (command->operands && optind == call->argc && !call->id && !call->all)
		return view_fail(error, MSG_NO_OPERAND, command->operands);
	if (!command->operands && optind < call->argc)
		return view_fail(error, MSG_TOO_MANY, call->argv[optind]);
	return 1;
}

/* Returns: > 0: run the command; 0: --help or --version is answered; < 0 with *error*. */
static int command_parse(const struct ctl_command *command, struct ctl_call *call,
			 struct view_error *error)
{
	const char *letters = command->options || command->columns ? ":hVo:" : ":hV";
	struct option known[OPTIONS_MAX];
	int option;

	command_options(command, known);
	optind = 1;
	opterr = 0;
	while ((option = getopt_long(call->argc, call->argv, letters, known, NULL)) >= 0) {
		switch (option) {
		case 'h': command->print_help(); return 0;
		case 'V': version_print("viewfsctl"); return 0;
		case OPT_JSON: call->json = true; break;
		case OPT_DRY_RUN: call->dry_run = true; break;
		case OPT_REPAIR: call->repair = true; break;
		case OPT_ALL: call->all = true; break;
		case OPT_PROMETHEUS: call->prometheus = true; break;
		case OPT_ID: call->id = optarg; break;
		case OPT_CONTAINER: call->container.container = optarg; break;
		case OPT_BINARY: call->binary = optarg; break;
		case OPT_STATE_DIR: call->container.state_dir = optarg; break;
		case 'o':
			call->columns = optarg;
			if (command->options && parse_list(&call->options, optarg, error) < 0)
				return -ECANCELED;
			break;
		case ':': return view_fail(error, MSG_ARGUMENT_NEEDS, call->argv[call->argc - 1]);
		default: return arguments_refuse(call->argv, letters, known, error);
		}
	}
	return check_operands(command, call, error);
}

bool ctl_is_id(const char *id, const char *wanted)
{
	static const char digits[] = "0123456789abcdef";
	size_t length = strlen(wanted);

	if (!id || strcmp(id, wanted) == 0)
		return id;
	return length >= ID_DIGITS_MIN && strlen(id) == ID_DIGITS &&
	       strspn(id, digits) == ID_DIGITS && strncmp(id, wanted, length) == 0;
}

int ctl_run(const struct ctl_command *command, int argc, char **argv, struct view_error *error)
{
	struct ctl_call call = {.argc = argc, .argv = argv, .options = OPTIONS_INIT};
	int r = command->parses ? 1 : command_parse(command, &call, error);

	/* As far as that goes: without privilege there is nothing to give up. */
	if (command->capabilities)
		(void)capabilities_keep(command->capabilities);
	r = r > 0 ? command->run(&call, error) : r;
	options_done(&call.options);
	return r;
}

int ctl_refuse(const struct nearest *nearest, struct view_error *error)
{
	if (*nearest->word)
		return view_fail(error, MSG_COMMAND_NEAR, nearest->typed, nearest->word);
	return view_fail(error, MSG_COMMAND, nearest->typed);
}

int ctl_fail(const char *command, const struct view_error *error)
{
	log_error("%s", error->message);
	if (error->code == CODE_EUSAGE)
		fprintf(stderr, "Try 'viewfsctl%s%s --help' for more information.\n",
			command ? " " : "", command ? command : "");
	return view_code_exit(error->code);
}

void ctl_goes_on(const struct view_error *error, int *status)
{
	log_error("%s", error->message);
	if (*status == 0)
		*status = view_code_exit(error->code);
}

struct json_object *ctl_describe_error(const struct view_error *error)
{
	cleanup_with(json_done) struct json_object *object = json_object_new_object();
	const char *code = view_code_name(error->code);

	if (!object || json_add(object, "code", json_object_new_string(code)) < 0 ||
	    json_add(object, "message", json_object_new_string(error->message)) < 0)
		return NULL;
	return TAKE_PTR(object);
}
