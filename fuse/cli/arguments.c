/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/cli/arguments.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse/base/messages.h"
#include "fuse/base/words.h"
#include "fuse/process/pass-fd.h"
#include "layerindex/array.h"

#if defined(__GNUC__) && !defined(__clang__)
/* The analyzer loses sight of a member that is reached by its offset. */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

enum argument_kind {
	ARGUMENT_FLAG,	     /* bool */
	ARGUMENT_STRING,     /* const char *, borrowed; given once */
	ARGUMENT_ID,	     /* char *, owned, of at most ID_MAX bytes */
	ARGUMENT_DESCRIPTOR, /* int, of an open one; given once */
	ARGUMENT_LAYER,	     /* struct layer_fds */
	ARGUMENT_WORD,	     /* an enum, in the order of the words */
	ARGUMENT_DIGEST,     /* struct digest_wish; given once */
	ARGUMENT_VERSION,    /* bool, and the member json for the value "json" */
};

enum { OF_VIEW = 1 << FOR_VIEW, OF_RESOLVE = 1 << FOR_RESOLVE, OF_ADD = 1 << FOR_ADD };

#define IN(member) offsetof(struct arguments, member)

/* Not as getopt_long(3) wants them: its pointers would be relocations in every view's memory. */
static const struct argument_rule {
	char name[12];
	char letter; /* 0: none */
	enum argument_kind kind : 8;
	unsigned short offset; /* of the member of struct arguments that the value goes to */
	unsigned of;	       /* which calls know it */
	char words[24];	       /* the words that the value may be */
} rules[] = {
	{"foreground", 'f', ARGUMENT_FLAG, IN(foreground), OF_VIEW, ""},
	{"mounts", 0, ARGUMENT_STRING, IN(from.mounts), OF_VIEW | OF_RESOLVE, ""},
	{"bundle", 0, ARGUMENT_STRING, IN(from.bundle), OF_VIEW | OF_RESOLVE | OF_ADD, ""},
	{"container", 0, ARGUMENT_STRING, IN(from.container.container), OF_VIEW | OF_RESOLVE, ""},
	{"state-dir", 0, ARGUMENT_STRING, IN(from.container.state_dir), OF_VIEW | OF_RESOLVE, ""},
	{"chain", 0, ARGUMENT_DIGEST, IN(from.chain), OF_VIEW | OF_RESOLVE | OF_ADD, ""},
	{"tree", 0, ARGUMENT_STRING, IN(tree), OF_ADD, ""},
	{"oci", 0, ARGUMENT_STRING, IN(from.oci), OF_VIEW | OF_RESOLVE | OF_ADD, ""},
	{"content", 0, ARGUMENT_STRING, IN(from.content), OF_VIEW | OF_RESOLVE | OF_ADD, ""},
	{"manifest", 0, ARGUMENT_DIGEST, IN(from.manifest), OF_VIEW | OF_RESOLVE | OF_ADD, ""},
	{"layer-fd", 0, ARGUMENT_LAYER, IN(from.layer_fds), OF_VIEW | OF_RESOLVE, ""},
	{"ready-fd", 0, ARGUMENT_DESCRIPTOR, IN(ready_fd), OF_VIEW, ""},
	{"lifeline", 0, ARGUMENT_DESCRIPTOR, IN(lifeline), OF_VIEW, ""},
	{"pass-mount", 0, ARGUMENT_DESCRIPTOR, IN(pass_mount), OF_VIEW, ""},
	{"log-format", 0, ARGUMENT_WORD, IN(log.format), OF_VIEW, "text|json"},
	{"log-level", 0, ARGUMENT_WORD, IN(log.level), OF_VIEW, "error|warn|info|debug"},
	{"id", 0, ARGUMENT_ID, IN(options.id), OF_VIEW, ""},
	{"json", 0, ARGUMENT_FLAG, IN(json), OF_RESOLVE | OF_ADD, ""},
	{"syslog", 0, ARGUMENT_FLAG, IN(syslog), OF_ADD, ""},
	{"digest", 0, ARGUMENT_FLAG, IN(digest), OF_RESOLVE, ""},
	{"help", 'h', ARGUMENT_FLAG, IN(help), OF_VIEW | OF_RESOLVE | OF_ADD, ""},
	{"version", 'V', ARGUMENT_FLAG, IN(version), OF_RESOLVE | OF_ADD, ""},
	{"version", 0, ARGUMENT_VERSION, IN(version), OF_VIEW, "json"},
};

enum {
	RULES = sizeof(rules) / sizeof(*rules),
	OPT_RULE = 256, /* what getopt_long(3) returns for rules[0], above all letters */
};

static int argument_has_value(const struct argument_rule *rule)
{
	switch (rule->kind) {
	case ARGUMENT_FLAG: return no_argument;
	case ARGUMENT_VERSION: return optional_argument;
	default: return required_argument;
	}
}

/* As getopt_long(3) wants them; *ret* is empty, and ends with one that stays so. */
static void arguments_list(enum arguments_for what, struct option ret[static RULES + 1])
{
	for (int i = 0; i < RULES; i++)
		if (rules[i].of & 1U << what)
			*ret++ = (struct option){
				.name = rules[i].name,
				.has_arg = argument_has_value(&rules[i]),
				.val = OPT_RULE + i,
			};
}

/* The rule of what getopt_long(3) returned, or NULL. */
static const struct argument_rule *argument_find(int option)
{
	if (option >= OPT_RULE)
		return &rules[option - OPT_RULE];
	for (size_t i = 0; i < RULES; i++)
		if (rules[i].letter && rules[i].letter == option)
			return &rules[i];
	return NULL;
}

void layer_fds_close(const struct layer_fds *fds)
{
	for (size_t i = 0; i < fds->count; i++)
		close(fds->items[i]);
}

static int argument_add_layer(struct layer_fds *ret, const char *name, const char *value,
			      struct view_error *error)
{
	uint64_t fd;
	int *items;

	if (parse_uint(value, 10, INT_MAX, &fd) < 0 || fd <= STDERR_FILENO)
		return view_fail(error, MSG_ARGUMENT_VALUE, name, value,
				 "a descriptor's number of at least 3");
	if (fcntl((int)fd, F_GETFD) < 0)
		return view_fail(error, MSG_DESCRIPTOR, name, (int)fd, strerror(errno));
	if (ret->count >= LAYER_FDS_MAX)
		return view_fail(error, MSG_LAYER_FDS, LAYER_FDS_MAX);
	items = array_grow(ret->items, ret->count, &ret->capacity, sizeof(*items));
	if (!items)
		return view_fail(error, MSG_NO_MEMORY);
	items[ret->count++] = (int)fd;
	ret->items = items;
	return 0;
}

static int argument_set_descriptor(int *ret, const char *name, const char *value,
				   struct view_error *error)
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

static int argument_set_word(int *ret, const struct argument_rule *rule, const char *value,
			     struct view_error *error)
{
	int word = words_find(rule->words, value);
	char expected[WORDS_PHRASE_SIZE];

	if (word < 0) {
		words_phrase(rule->words, expected);
		return view_fail(error, MSG_ARGUMENT_VALUE, rule->name, value, expected);
	}
	*ret = word;
	return 0;
}

static int argument_set_digest(struct digest_wish *ret, const char *name, const char *value,
			       struct view_error *error)
{
	if (ret->given)
		return view_fail(error, MSG_ARGUMENT_TWICE, name);
	if (digest_parse(value, &ret->digest) < 0)
		return view_fail(error, MSG_ARGUMENT_VALUE, name, value,
				 "sha256: and 64 digits of 0-9 and a-f");
	ret->given = true;
	return 0;
}

static int argument_set_id(char **ret, const char *name, const char *id, struct view_error *error)
{
	if (strlen(id) > ID_MAX)
		return view_fail(error, MSG_ARGUMENT_VALUE, name, id, "an id of at most 255 bytes");
	return text_replace(ret, id) < 0 ? view_fail(error, MSG_NO_MEMORY) : 0;
}

/* Puts *value* where the rule says. */
static int argument_set(struct arguments *arguments, const struct argument_rule *rule,
			const char *value, struct view_error *error)
{
	void *ret = (char *)arguments + rule->offset;

	if (argument_has_value(rule) == required_argument && !*value)
		return view_fail(error, MSG_ARGUMENT_EMPTY, rule->name);
	switch (rule->kind) {
	case ARGUMENT_FLAG: *(bool *)ret = true; return 0;
	case ARGUMENT_STRING:
		if (*(const char **)ret)
			return view_fail(error, MSG_ARGUMENT_TWICE, rule->name);
		*(const char **)ret = value;
		return 0;
	case ARGUMENT_ID: return argument_set_id(ret, rule->name, value, error);
	case ARGUMENT_DESCRIPTOR: return argument_set_descriptor(ret, rule->name, value, error);
	case ARGUMENT_LAYER: return argument_add_layer(ret, rule->name, value, error);
	case ARGUMENT_WORD: return argument_set_word(ret, rule, value, error);
	case ARGUMENT_DIGEST: return argument_set_digest(ret, rule->name, value, error);
	case ARGUMENT_VERSION:
		if (value && words_find(rule->words, value) < 0)
			return view_fail(error, MSG_ARGUMENT_VALUE, rule->name, value, rule->words);
		arguments->json = value;
		*(bool *)ret = true;
		return 0;
	}
	return 0;
}

static int arguments_set_list(struct arguments *arguments, const char *list,
			      struct view_error *error)
{
	cleanup_free char *copy = strdup(list);

	if (!copy)
		return view_fail(error, MSG_NO_MEMORY);
	return options_parse(&arguments->options, copy, error);
}

/* "--word" or "--word=value", which is unknown, or has a value that it does not take. */
static int argument_refuse_long(const char *word, const struct option *names,
				struct view_error *error)
{
	size_t n = strcspn(word, "=");
	struct nearest nearest = nearest_to(word + 2, n - 2);

	/* getopt_long(3) says of a known one which it is. */
	if (optopt)
		return view_fail(error, MSG_ARGUMENT_NO_VALUE, (int)n, word);
	for (; names->name; names++)
		nearest_offer(&nearest, names->name);
	if (*nearest.word)
		return view_fail(error, MSG_ARGUMENT_NEAR, word, nearest.word);
	return view_fail(error, MSG_ARGUMENT, word);
}

int arguments_refuse(char **argv, const char *letters, const struct option *names,
		     struct view_error *error)
{
	const char letter[] = {'-', (char)optopt, '\0'};

	if (optopt > 0 && optopt <= UCHAR_MAX && !strchr(letters, optopt))
		return view_fail(error, MSG_ARGUMENT, letter);
	return argument_refuse_long(argv[optind - 1], names, error);
}

/* What store add is told: a tree with its chain, a layout, or a content store with a manifest. */
static int arguments_check_add(const struct arguments *arguments, struct view_error *error)
{
	const struct layers_from *from = &arguments->from;

	if (arguments->tree && from->oci)
		return view_fail(error, MSG_TWO_KINDS, "--tree", "--oci");
	if ((arguments->tree || from->oci) && from->content)
		return view_fail(error, MSG_TWO_KINDS, arguments->tree ? "--tree" : "--oci",
				 "--content");
	if (from->content || from->oci || from->manifest.given)
		return 0;
	if (!from->chain.given || !arguments->tree)
		return view_fail(error, MSG_NO_OPERAND, arguments->tree ? "--chain" : "--tree");
	return 0;
}

/* The end of what holds it must be seen: a file has none, and its filesystem may not answer. */
static int arguments_check_lifeline(int fd, struct view_error *error)
{
	struct statx stx;

	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &stx) < 0)
		return 0;
	if (S_ISREG(stx.stx_mode) || S_ISDIR(stx.stx_mode) || S_ISBLK(stx.stx_mode))
		return view_fail(error, MSG_DESCRIPTOR, "lifeline", fd,
				 "a file, whose end no process sees: give a pipe or a socket");
	return 0;
}

/* A view that is handed over is mounted nowhere. */
static int arguments_check_pass(const struct arguments *arguments, struct view_error *error)
{
	const char *mountpoint = arguments->mountpoint ? arguments->mountpoint : "";

	if (pass_fd_check(arguments->pass_mount) < 0)
		return view_fail(error, MSG_PASS_SOCKET, arguments->pass_mount);
	if (strcmp(mountpoint, "-") != 0)
		return view_fail(error, MSG_PASS_MOUNTPOINT, mountpoint);
	return 0;
}

static int arguments_set_operands(struct arguments *arguments, int n, char **operands,
				  enum arguments_for what, struct view_error *error)
{
	int most = what == FOR_VIEW ? 2 : what == FOR_RESOLVE ? 1 : 0;
	const struct layers_from *from = &arguments->from;
	bool labelled = from->mounts || from->bundle || from->container.container ||
			from->chain.given || from->oci || from->content ||
			from->layer_fds.count > 0 || arguments->options.overlay.lowers.count > 0;

	if (n > most)
		return view_fail(error, MSG_TOO_MANY, operands[most]);
	if (what == FOR_ADD && arguments_check_add(arguments, error) < 0)
		return -ECANCELED;
	if (!from->content != !from->manifest.given)
		return view_fail(error, MSG_NO_OPERAND, from->content ? "--manifest" : "--content");
	if (arguments->from.container.state_dir && !arguments->from.container.container)
		return view_fail(error, MSG_NO_OPERAND, "--container");
	if (n == 0 && what == FOR_VIEW)
		return view_fail(error, MSG_NO_SOURCE);
	if (n == 0 && what == FOR_RESOLVE && !labelled)
		return view_fail(error, MSG_NO_LAYER_SOURCE);
	if (n < most && what == FOR_VIEW)
		return view_fail(error, MSG_NO_MOUNTPOINT);
	for (int i = 0; i < n; i++)
		if (!*operands[i])
			return view_fail(error, MSG_EMPTY, i == 0 ? "SOURCE" : "MOUNTPOINT");
	arguments->from.source = n > 0 ? operands[0] : "none";
	arguments->mountpoint = n > 1 ? operands[1] : NULL;
	if (arguments_check_lifeline(arguments->lifeline, error) < 0)
		return -ECANCELED;
	return arguments->pass_mount < 0 ? 0 : arguments_check_pass(arguments, error);
}

int arguments_parse(struct arguments *ret, int argc, char **argv, enum arguments_for what,
		    struct view_error *error)
{
	const char *letters = what == FOR_VIEW ? ":fhVo:" : ":hVo:";
	struct option names[RULES + 1] = {};
	/* No other word can lack its value, and musl's getopt_long(3) moves it out of sight. */
	const char *last = argv[argc - 1];
	int failed = 0;
	int option, r;

	arguments_list(what, names);
	optind = 1;
	opterr = 0;
	/* mount.fuse3 puts the options last, whatever its caller likes. */
	unsetenv("POSIXLY_CORRECT");
	/* Goes on after a failure: where to say it (--ready-fd, --log-format) may come later. */
	while ((option = getopt_long(argc, argv, letters, names, NULL)) >= 0) {
		const struct argument_rule *rule = argument_find(option);

		if (rule)
			r = argument_set(ret, rule, optarg, error);
		else if (option == 'o')
			r = arguments_set_list(ret, optarg, error);
		else if (option == ':')
			r = view_fail(error, MSG_ARGUMENT_NEEDS, last);
		else
			r = arguments_refuse(argv, letters, names, error);
		if (r < 0)
			failed = -ECANCELED;
	}
	ret->log.id = ret->options.id;
	if (failed || ret->help || ret->version)
		return failed;
	return arguments_set_operands(ret, argc - optind, argv + optind, what, error);
}

void arguments_print_names(enum arguments_for what)
{
	const char *before = "";

	for (size_t i = 0; i < RULES; i++) {
		if (!(rules[i].of & 1U << what))
			continue;
		printf("%s\"%s\"", before, rules[i].name);
		before = ",";
	}
}

void arguments_done(struct arguments *arguments)
{
	options_done(&arguments->options);
	free(TAKE_PTR(arguments->from.layer_fds.items));
}
