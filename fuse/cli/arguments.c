/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/cli/arguments.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>

#include "fuse/base/messages.h"

enum {
	OPT_MOUNTS = 256,
	OPT_BUNDLE,
	OPT_READY_FD,
	OPT_LIFELINE,
	OPT_LOG_FORMAT,
	OPT_LOG_LEVEL,
	OPT_ID,
	OPT_JSON,
	OPT_DIGEST
};

/* Not as getopt_long(3) wants them: its pointers would be relocations in every view's memory. */
static const struct {
	char name[12];
	short option;
	bool takes_value;
	bool of_view, of_resolve;
} known[] = {
	{"foreground", 'f', false, true, false},
	{"mounts", OPT_MOUNTS, true, true, true},
	{"bundle", OPT_BUNDLE, true, true, true},
	{"ready-fd", OPT_READY_FD, true, true, false},
	{"lifeline", OPT_LIFELINE, true, true, false},
	{"log-format", OPT_LOG_FORMAT, true, true, false},
	{"log-level", OPT_LOG_LEVEL, true, true, false},
	{"id", OPT_ID, true, true, false},
	{"json", OPT_JSON, false, false, true},
	{"digest", OPT_DIGEST, false, false, true},
	{"help", 'h', false, true, true},
	{"version", 'V', false, true, true},
};

enum { KNOWN = sizeof(known) / sizeof(*known) };

/* As getopt_long(3) wants them; *ret* is empty, and ends with one that stays so. */
static void list_known(enum arguments_for what, struct option ret[static KNOWN + 1])
{
	for (size_t i = 0; i < KNOWN; i++)
		if (what == FOR_VIEW ? known[i].of_view : known[i].of_resolve)
			*ret++ = (struct option){
				.name = known[i].name,
				.has_arg = known[i].takes_value ? required_argument : no_argument,
				.val = known[i].option,
			};
}

static int set_once(const char **ret, const char *name, const char *value, struct view_error *error)
{
	if (*ret)
		return view_fail(error, MSG_ARGUMENT_TWICE, name);
	if (!*value)
		return view_fail(error, MSG_EMPTY, name);
	*ret = value;
	return 0;
}

static int set_descriptor(int *ret, const char *name, const char *value, struct view_error *error)
{
	uint64_t fd;

	if (*ret >= 0)
		return view_fail(error, MSG_ARGUMENT_TWICE, name);
	if (parse_uint(value, 10, INT_MAX, &fd) < 0)
		return view_fail(error, MSG_ARGUMENT_VALUE, name, value, "a descriptor's number");
	if (fcntl((int)fd, F_GETFD) < 0)
		return view_fail(error, MSG_DESCRIPTOR, name, (int)fd, strerror(errno));
	*ret = (int)fd;
	return 0;
}

static int set_log_format(struct arguments *arguments, const char *value, struct view_error *error)
{
	arguments->log.json = strcmp(value, "json") == 0;
	if (!arguments->log.json && strcmp(value, "text") != 0)
		return view_fail(error, MSG_ARGUMENT_VALUE, "log-format", value, "text or json");
	return 0;
}

static int set_log_level(struct arguments *arguments, const char *value, struct view_error *error)
{
	static const char names[][6] = {"error", "warn", "info", "debug"};

	for (int i = 0; i < 4; i++)
		if (strcmp(value, names[i]) == 0) {
			arguments->log.level = (enum log_level)i;
			return 0;
		}
	return view_fail(error, MSG_ARGUMENT_VALUE, "log-level", value,
			 "error, warn, info or debug");
}

static int set_list(struct arguments *arguments, const char *list, struct view_error *error)
{
	cleanup_free char *copy = strdup(list);

	if (!copy)
		return view_fail(error, MSG_NO_MEMORY);
	return options_parse(&arguments->options, copy, error);
}

static int set_id(struct arguments *arguments, const char *id, struct view_error *error)
{
	cleanup_free char *option = NULL;

	if (strlen(id) > ID_MAX)
		return view_fail(error, MSG_ARGUMENT_VALUE, "id", id, "an id of at most 255 bytes");
	if (!*id)
		return view_fail(error, MSG_EMPTY, "--id");
	option = strdup(id);
	if (!option)
		return view_fail(error, MSG_NO_MEMORY);
	free(arguments->options.id);
	arguments->options.id = TAKE_PTR(option);
	return 0;
}

int arguments_refuse(char **argv, const char *letters, struct view_error *error)
{
	/* getopt(3) has a letter for what it does not know, and none for a word or a value too
	 * much. */
	const char letter[] = {'-', (char)optopt, '\0'};

	if (optopt > 0 && optopt <= UCHAR_MAX && !strchr(letters, optopt))
		return view_fail(error, MSG_ARGUMENT, letter);
	return view_fail(error, MSG_ARGUMENT, argv[optind - 1]);
}

static int set_argument(struct arguments *arguments, int option, const char *value, char **argv,
			const char *letters, struct view_error *error)
{
	switch (option) {
	case 'f': arguments->foreground = true; return 0;
	case 'h': arguments->help = true; return 0;
	case 'V': arguments->version = true; return 0;
	case 'o': return set_list(arguments, value, error);
	case OPT_MOUNTS: return set_once(&arguments->mounts, "mounts", value, error);
	case OPT_BUNDLE: return set_once(&arguments->bundle, "bundle", value, error);
	case OPT_READY_FD: return set_descriptor(&arguments->ready_fd, "ready-fd", value, error);
	case OPT_LIFELINE: return set_descriptor(&arguments->lifeline, "lifeline", value, error);
	case OPT_LOG_FORMAT: return set_log_format(arguments, value, error);
	case OPT_LOG_LEVEL: return set_log_level(arguments, value, error);
	case OPT_ID: return set_id(arguments, value, error);
	case OPT_JSON: arguments->json = true; return 0;
	case OPT_DIGEST: arguments->digest = true; return 0;
	default: return arguments_refuse(argv, letters, error);
	}
}

static int set_operands(struct arguments *arguments, int n, char **operands,
			enum arguments_for what, struct view_error *error)
{
	int most = what == FOR_VIEW ? 2 : 1;
	bool labelled = arguments->mounts || arguments->bundle ||
			arguments->options.overlay.lowers.count > 0;

	if (n > most)
		return view_fail(error, MSG_TOO_MANY, operands[most]);
	if (n == 0 && what == FOR_VIEW)
		return view_fail(error, MSG_NO_SOURCE);
	if (n == 0 && !labelled)
		return view_fail(error, MSG_NO_LAYER_SOURCE);
	if (n < most && what == FOR_VIEW)
		return view_fail(error, MSG_NO_MOUNTPOINT);
	for (int i = 0; i < n; i++)
		if (!*operands[i])
			return view_fail(error, MSG_EMPTY, i == 0 ? "SOURCE" : "MOUNTPOINT");
	arguments->source = n > 0 ? operands[0] : "none";
	arguments->mountpoint = n > 1 ? operands[1] : NULL;
	return 0;
}

int arguments_parse(struct arguments *ret, int argc, char **argv, enum arguments_for what,
		    struct view_error *error)
{
	const char *letters = what == FOR_VIEW ? ":fhVo:" : ":hVo:";
	struct option names[KNOWN + 1] = {};
	/* No other word can lack its value, and musl's getopt_long(3) moves it out of sight. */
	const char *last = argv[argc - 1];
	int failed = 0;
	int option, r;

	list_known(what, names);
	optind = 1;
	opterr = 0;
	/* mount.fuse3 puts the options last, whatever its caller likes. */
	unsetenv("POSIXLY_CORRECT");
	/* Goes on after a failure: where to say it (--ready-fd, --log-format) may come later. */
	while ((option = getopt_long(argc, argv, letters, names, NULL)) >= 0) {
		r = option == ':' ? view_fail(error, MSG_ARGUMENT_NEEDS, last)
				  : set_argument(ret, option, optarg, argv, letters, error);
		if (r < 0)
			failed = -ECANCELED;
	}
	ret->log.id = ret->options.id;
	if (failed || ret->help || ret->version)
		return failed;
	return set_operands(ret, argc - optind, argv + optind, what, error);
}

void arguments_done(struct arguments *arguments)
{
	options_done(&arguments->options);
}
