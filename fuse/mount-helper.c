/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount.urunc-viewfs SPEC DIR [-sfnv] [-N NS] [-o OPTS] [-t TYPE]: what mount(8) runs. It brings
 * mount(8)'s words into those of urunc-viewfs and becomes that program.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fuse/base/error.h"
#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/cli/arguments.h"
#include "fuse/cli/options.h"
#include "fuse/cli/output.h"
#include "fuse/process/self-exe.h"

struct call {
	const char *spec, *directory;
	const char *in_namespace; /* where to mount, or NULL */
	struct strings options;	  /* one a list, as it was given */
	bool sloppy, fake, verbose;
	bool help;
};

static void call_done(struct call *call)
{
	strings_clear(&call->options);
}
DEFINE_CLEANUP(struct call, call_done)

static void print_help(void)
{
	puts("Usage: mount.urunc-viewfs SOURCE DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] "
	     "[-t TYPE]\n"
	     "\n"
	     "Mounts a view of a container image's layers for mount(8); see urunc-viewfs(8).\n"
	     "\n"
	     "  -s            ignore unknown mount options\n"
	     "  -f            check the mount options, mount nothing\n"
	     "  -n            accepted; there is no mtab\n"
	     "  -v            print the command that is run\n"
	     "  -N NAMESPACE  mount in the mount namespace of this file\n"
	     "  -o OPTIONS    mount options, separated by commas (see below)\n"
	     "  -t TYPE       accepted; the type is always fuse.urunc-viewfs\n"
	     "  -h, --help    this text\n");
	options_help();
	puts("\nExit status: 0 mounted, 1 usage, 2 system, 32 no view could be made.");
}

static int parse(struct call *call, int argc, char **argv, struct view_error *error)
{
	static const struct option known[] = {{"help", no_argument, NULL, 'h'}, {}};
	static const char letters[] = ":hsfnvN:o:t:";
	int option;

	opterr = 0;
	/* The words come in mount(8)'s order, whatever its caller likes. */
	unsetenv("POSIXLY_CORRECT");
	while ((option = getopt_long(argc, argv, letters, known, NULL)) >= 0) {
		switch (option) {
		case 'h': call->help = true; return 0;
		case 's': call->sloppy = true; break;
		case 'f': call->fake = true; break;
		case 'v': call->verbose = true; break;
		case 'n':
		case 't': break;
		case 'N': call->in_namespace = optarg; break;
		case 'o':
			if (strings_take(&call->options, strdup(optarg)) < 0)
				return view_fail(error, MSG_NO_MEMORY);
			break;
		case ':': return view_fail(error, MSG_ARGUMENT_NEEDS, argv[optind - 1]);
		default: return arguments_refuse(argv, letters, error);
		}
	}
	if (argc - optind < 1)
		return view_fail(error, MSG_NO_SOURCE);
	if (argc - optind < 2)
		return view_fail(error, MSG_NO_MOUNTPOINT);
	if (argc - optind > 2)
		return view_fail(error, MSG_TOO_MANY, argv[optind + 2]);
	call->spec = argv[optind];
	call->directory = argv[optind + 1];
	return 0;
}

/* Whether it is one of ours, with its value or without. */
static bool is_known(char *option)
{
	char *value = strchr(option, '=');
	bool known;

	if (value)
		*value = '\0';
	known = options_know(option);
	if (value)
		*value = '=';
	return known;
}

/* Takes the options out of *list* that nobody knows. */
static void drop_unknown(char *list)
{
	char *rest = list;
	char *end = list;
	char *option;

	while ((option = overlay_options_next(&rest))) {
		size_t length = strlen(option);

		if (!is_known(option))
			continue;
		if (end > list)
			*end++ = ',';
		memmove(end, option, length);
		end += length;
	}
	*end = '\0';
}

/* -f: everything but the mount. */
static int check_options(const struct call *call, struct view_error *error)
{
	cleanup_with(options_done) struct options options = OPTIONS_INIT;

	for (size_t i = 0; i < call->options.count; i++) {
		cleanup_free char *copy = strdup(call->options.items[i]);

		if (!copy)
			return view_fail(error, MSG_NO_MEMORY);
		if (options_parse(&options, copy, error) < 0)
			return -ECANCELED;
	}
	return 0;
}

static int enter_namespace(const char *path, struct view_error *error)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNS) < 0)
		return view_fail(error, MSG_SYSTEM, path, strerror(errno));
	return 0;
}

/* The call in urunc-viewfs's words. Returns: an owned array of borrowed strings, or NULL. */
static char **new_words(const struct call *call)
{
	static char name[] = PROGRAM_NAME, option[] = "-o", end[] = "--";
	char **words = calloc(2 * call->options.count + 5, sizeof(*words));
	size_t n = 0;

	if (!words)
		return NULL;
	words[n++] = name;
	for (size_t i = 0; i < call->options.count; i++) {
		words[n++] = option;
		words[n++] = call->options.items[i];
	}
	words[n++] = end;
	words[n++] = (char *)call->spec;
	words[n] = (char *)call->directory;
	return words;
}

static void tell_command(char **words)
{
	for (; *words; words++)
		printf("%s%c", *words, words[1] ? ' ' : '\n');
	fflush(stdout);
}

static int become_urunc_viewfs(const struct call *call, char **words, struct view_error *error)
{
	cleanup_close int program = -EBADF;
	char path[PATH_MAX];
	int r = program_path(PROGRAM_NAME, path);

	if (r < 0)
		return view_fail(error, MSG_SYSTEM, "/proc/self/exe", strerror(-r));
	/* Opened here: the namespace to mount in need not have it. */
	program = open(path, O_PATH | O_CLOEXEC);
	if (program < 0)
		return view_fail(error, MSG_SYSTEM, path, strerror(errno));
	if (call->in_namespace && enter_namespace(call->in_namespace, error) < 0)
		return -ECANCELED;
	execveat(program, "", words, environ, AT_EMPTY_PATH);
	if (call->in_namespace)
		return view_fail(error, MSG_NAMESPACE, call->in_namespace, strerror(errno));
	return view_fail(error, MSG_SYSTEM, path, strerror(errno));
}

/* Comes back with 0 only where nothing was to be mounted. */
static int carry_out(const struct call *call, struct view_error *error)
{
	cleanup_free char **words = new_words(call);

	if (!words)
		return view_fail(error, MSG_NO_MEMORY);
	if (call->verbose)
		tell_command(words);
	return call->fake ? check_options(call, error) : become_urunc_viewfs(call, words, error);
}

int main(int argc, char **argv)
{
	cleanup_with(call_done) struct call call = {};
	VIEW_ERROR(error);
	struct log_options log = {.level = LOG_LEVEL_INFO};
	int r = parse(&call, argc, argv, &error);

	log_setup("mount.urunc-viewfs", &log);
	if (call.help) {
		print_help();
		return output_finish(0);
	}
	for (size_t i = 0; r == 0 && call.sloppy && i < call.options.count; i++)
		drop_unknown(call.options.items[i]);
	if (r == 0)
		r = carry_out(&call, &error);
	if (r == 0)
		return 0;
	log_error("%s", error.message);
	if (error.code == CODE_EUSAGE)
		fputs("Try 'mount.urunc-viewfs --help' for more information.\n", stderr);
	return view_code_exit(error.code);
}
