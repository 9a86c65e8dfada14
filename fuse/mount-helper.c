/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount.urunc-viewfs SPEC DIR [-sfnv] [-N NS] [-o OPTS] [-t TYPE]: what mount(8) runs. It
 * translates mount(8)'s arguments into those of urunc-viewfs. libmount holds the flags and the
 * namespace. The list of options does not go through libmount, which does not know the backslash
 * in overlayfs's "\\,". /run/mount/utab is left to mount(8): it records options that it does not
 * pass to helpers (x-*), and it records nothing where a helper has written there.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libmount.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fuse/base/error.h"
#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/cli/arguments.h"
#include "fuse/cli/options.h"
#include "fuse/cli/output.h"
#include "fuse/process/run-with-timeout.h"
#include "fuse/process/self-exe.h"
#include "layerindex/cleanup.h"

struct call {
	struct libmnt_context *context; /* the flags and the namespace to mount in; owned */
	char *spec, *directory;		/* of argv */
	char *in_namespace;		/* its file, or NULL */
	struct strings options;		/* one a list, as it was given */
	bool help;
};

static void call_done(struct call *call)
{
	mnt_free_context(call->context);
	strings_clear(&call->options);
}
DEFINE_CLEANUP(struct call, call_done)

static void print_help(void)
{
	output_hold();
	puts("Usage: mount.urunc-viewfs SOURCE DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] "
	     "[-t TYPE]\n"
	     "\n"
	     "Mounts a view of a container image's layers for mount(8); see urunc-viewfs(8).\n"
	     "\n"
	     "  -s            ignore unknown mount options\n"
	     "  -f            check the mount options, mount nothing\n"
	     "  -n            accepted and ignored: mount(8) writes /run/mount/utab\n"
	     "  -v            print the command that is run\n"
	     "  -N NAMESPACE  mount in the mount namespace of this file\n"
	     "  -o OPTIONS    mount options, separated by commas (see below)\n"
	     "  -t TYPE       accepted; the type is always fuse.urunc-viewfs\n"
	     "  -h, --help    this text\n");
	options_help();
	puts("\nExit status: 0 mounted, 1 usage, 2 system, 32 no view could be made.");
}

/* A flag or an option of mount(8)'s helpers. */
static int set_flag(struct call *call, int letter, char *value, struct view_error *error)
{
	int r = mnt_context_helper_setopt(call->context, letter, value);

	if (r == 0)
		return 0;
	if (r == -ENOMEM)
		return view_fail(error, MSG_NO_MEMORY);
	return view_fail(error, MSG_SYSTEM, value ? value : "libmount",
			 r > -MNT_ERR_NOFSTAB && r < 0 ? strerror(-r) : "refused by libmount");
}

static int parse_options(struct call *call, int argc, char **argv, struct view_error *error)
{
	static const struct option known[] = {{"help", no_argument, NULL, 'h'}, {}};
	static const char letters[] = ":hsfnvN:o:t:";
	int option;

	opterr = 0;
	/* The arguments come in mount(8)'s order, whatever its caller likes. */
	unsetenv("POSIXLY_CORRECT");
	while ((option = getopt_long(argc, argv, letters, known, NULL)) >= 0) {
		switch (option) {
		case 'h': call->help = true; return 0;
		case 'o':
			if (strings_take(&call->options, strdup(optarg)) < 0)
				return view_fail(error, MSG_NO_MEMORY);
			break;
		case 'N': call->in_namespace = optarg; break;
		case 's':
		case 'f':
		case 'n':
		case 'v':
		case 't':
			if (set_flag(call, option, optarg, error) < 0)
				return -ECANCELED;
			break;
		case ':': return view_fail(error, MSG_ARGUMENT_NEEDS, argv[optind - 1]);
		default: return arguments_refuse(argv, letters, known, error);
		}
	}
	return 0;
}

static int parse(struct call *call, int argc, char **argv, struct view_error *error)
{
	call->context = mnt_new_context();
	if (!call->context || mnt_context_init_helper(call->context, MNT_ACT_MOUNT, 0) < 0)
		return view_fail(error, MSG_NO_MEMORY);
	if (parse_options(call, argc, argv, error) < 0)
		return -ECANCELED;
	if (call->help)
		return 0;
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

/* Removes the unknown options from *list*. */
static void drop_unknown(char *list)
{
	char *rest = list;
	char *end = list;
	char *option;

	while ((option = options_next(&rest))) {
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

/* Returns: 0, or < 0 with *error*. *ret_timeout*: in seconds. */
static int check_options(const struct call *call, unsigned *ret_timeout, struct view_error *error)
{
	cleanup_with(options_done) struct options options = OPTIONS_INIT;

	for (size_t i = 0; i < call->options.count; i++) {
		cleanup_free char *copy = strdup(call->options.items[i]);

		if (!copy)
			return view_fail(error, MSG_NO_MEMORY);
		if (options_parse(&options, copy, error) < 0)
			return -ECANCELED;
	}
	*ret_timeout = options.timeout;
	return 0;
}

static int reach_namespace(void *path)
{
	/* Where it fails libmount says why. */
	close_keep_errno(open(path, O_RDONLY | O_CLOEXEC));
	return 0;
}

/* -N: its file may lie on a filesystem that does not answer. Returns: 0, or < 0 with *error*. */
static int take_namespace(struct call *call, unsigned timeout, struct view_error *error)
{
	int r = run_with_timeout(reach_namespace, call->in_namespace, timeout);

	if (r == -ETIMEDOUT)
		return view_fail(error, MSG_TIMEOUT, timeout);
	if (r < 0)
		return view_fail(error, MSG_SYSTEM, call->in_namespace, strerror(-r));
	return set_flag(call, 'N', call->in_namespace, error);
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
	words[n++] = call->spec;
	words[n] = call->directory;
	return words;
}

static void tell_command(char **words)
{
	for (; *words; words++)
		printf("%s%c", *words, words[1] ? ' ' : '\n');
	fflush(stdout);
}

/* Returns: only with *error*. */
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
	if (call->in_namespace && !mnt_context_switch_target_ns(call->context))
		return view_fail(error, MSG_SYSTEM, call->in_namespace, strerror(errno));
	execveat(program, "", words, environ, AT_EMPTY_PATH);
	if (call->in_namespace)
		return view_fail(error, MSG_NAMESPACE, call->in_namespace, strerror(errno));
	return view_fail(error, MSG_SYSTEM, path, strerror(errno));
}

/* Says what went wrong. Returns: the exit status. */
static int fail(const struct view_error *error)
{
	log_error("%s", error->message);
	if (error->code == CODE_EUSAGE)
		fputs("Try 'mount.urunc-viewfs --help' for more information.\n", stderr);
	return view_code_exit(error->code);
}

/* Returns: the exit status, or < 0 with *error*. */
static int mount_view(struct call *call, struct view_error *error)
{
	cleanup_free char **words = new_words(call);
	unsigned timeout = 0;

	if (!words)
		return view_fail(error, MSG_NO_MEMORY);
	if (mnt_context_is_verbose(call->context))
		tell_command(words);
	if (mnt_context_is_fake(call->context))
		return check_options(call, &timeout, error);
	if (call->in_namespace &&
	    (check_options(call, &timeout, error) < 0 || take_namespace(call, timeout, error) < 0))
		return -ECANCELED;
	return become_urunc_viewfs(call, words, error);
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
	if (r == 0 && mnt_context_is_sloppy(call.context))
		for (size_t i = 0; i < call.options.count; i++)
			drop_unknown(call.options.items[i]);
	if (r == 0)
		r = mount_view(&call, &error);
	return r < 0 ? fail(&error) : r;
}
