/* SPDX-License-Identifier: Apache-2.0 */
/* One table says which options there are, what they take, and what becomes of them. */
#include "fuse/cli/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/messages.h"

static int set_string(char **ret, const char *value, struct view_error *error)
{
	free(*ret);
	*ret = strdup(value);
	return *ret ? 0 : view_fail(error, MSG_NO_MEMORY);
}

static int set_binary(struct options *options, char *value, struct view_error *error)
{
	return set_string(&options->binary, value, error);
}

static int set_initrd(struct options *options, char *value, struct view_error *error)
{
	return set_string(&options->initrd, value, error);
}

static int set_basedir(struct options *options, char *value, struct view_error *error)
{
	return set_string(&options->basedir, value, error);
}

static int set_id(struct options *options, char *value, struct view_error *error)
{
	if (strlen(value) > ID_MAX)
		return view_fail(error, MSG_OPTION_VALUE, "id", value,
				 "an id of at most 255 bytes");
	return set_string(&options->id, value, error);
}

static int set_cache(struct options *options, char *value, struct view_error *error)
{
	return set_string(&options->cache, value, error);
}

static int set_timeout(struct options *options, char *value, struct view_error *error)
{
	uint64_t seconds;

	if (parse_uint(value, 10, TIMEOUT_MAX, &seconds) < 0 || seconds == 0)
		return view_fail(error, MSG_OPTION_VALUE, "timeout", value,
				 "a number of seconds from 1 to 86400");
	options->timeout = seconds;
	return 0;
}

/* One of the *words*, in the order of an enum. */
static int set_word(int *ret, const char *name, const char *value, const char *const words[3],
		    const char *expected, struct view_error *error)
{
	for (int i = 0; i < 3 && words[i]; i++)
		if (strcmp(value, words[i]) == 0) {
			*ret = i;
			return 0;
		}
	return view_fail(error, MSG_OPTION_VALUE, name, value, expected);
}

static int set_resolve(struct options *options, char *value, struct view_error *error)
{
	static const char *const words[3] = {"lazy", "ready"};

	return set_word((int *)&options->resolve, "resolve", value, words, "lazy or ready", error);
}

static int set_decode(struct options *options, char *value, struct view_error *error)
{
	static const char *const words[3] = {"strict", "auto"};

	return set_word((int *)&options->decode, "decode", value, words, "strict or auto", error);
}

static int set_passthrough(struct options *options, char *value, struct view_error *error)
{
	static const char *const words[3] = {"auto", "on", "off"};

	return set_word((int *)&options->passthrough, "passthrough", value, words,
			"auto, on or off", error);
}

static int set_sandbox(struct options *options, char *value, struct view_error *error)
{
	static const char *const words[3] = {"auto", "require"};

	return set_word((int *)&options->sandbox, "sandbox", value, words, "auto or require",
			error);
}

/* 2^32 - 1 is no owner: it means "leave as it is" to chown(2). */
static int set_owner(int64_t *ret, const char *name, const char *value, struct view_error *error)
{
	uint64_t id;

	if (parse_uint(value, 10, UINT32_MAX - 1, &id) < 0)
		return view_fail(error, MSG_OPTION_VALUE, name, value, "a numeric id");
	*ret = (int64_t)id;
	return 0;
}

static int set_uid(struct options *options, char *value, struct view_error *error)
{
	return set_owner(&options->uid, "uid", value, error);
}

static int set_gid(struct options *options, char *value, struct view_error *error)
{
	return set_owner(&options->gid, "gid", value, error);
}

static int set_mode(struct options *options, char *value, struct view_error *error)
{
	uint64_t mode;

	if (parse_uint(value, 8, 0777, &mode) < 0)
		return view_fail(error, MSG_OPTION_VALUE, "mode", value,
				 "octal permission bits up to 0777");
	options->mode = (int)(mode & ~0222U);
	return 0;
}

/* Of fstab: mount(8) would start the helper as the user, who cannot read the layers' marks. */
#define NOT_FOR_USERS \
	"fstab's views are root's, users mount their own with urunc-viewfs -o userxattr"

/* Options with a setter, or with a reason why they are refused. */
static const struct option_rule {
	const char *name;
	int (*set)(struct options *, char *, struct view_error *);
	const char *refused; /* why */
	const char *help;    /* "VALUE|meaning" */
} rules[] = {
	{"binary", set_binary, NULL, "PATH|the unikernel, in place of the image's own"},
	{"initrd", set_initrd, NULL, "PATH|the initrd, in place of the image's own"},
	{"timeout", set_timeout, NULL, "SECONDS|give up mounting after that long (10)"},
	{"resolve", set_resolve, NULL,
	 "lazy|ready|find the artifacts when they are wanted, or before the mount is announced "
	 "(lazy)"},
	{"passthrough", set_passthrough, NULL,
	 "auto|on|off|let the kernel read the layer's file itself; on fails the mount where it "
	 "cannot (auto)"},
	{"sandbox", set_sandbox, NULL,
	 "auto|require|drop what serving does not require if this kernel can, or fail "
	 "(auto)"},
	{"decode", set_decode, NULL,
	 "strict|auto|values of urunc.json: base64 only, or also b64: and plain text (strict)"},
	{"uid", set_uid, NULL, "UID|force the owner of the artifacts"},
	{"gid", set_gid, NULL, "GID|force the group of the artifacts"},
	{"mode", set_mode, NULL, "OCTAL|force their permission bits; write bits are masked"},
	{"cache", set_cache, NULL,
	 "DIR|none|where facts about layers are kept (for containerd's: /run/urunc-viewfs/.index)"},
	{"basedir", set_basedir, NULL, "DIR|directory that relative layer paths start from"},
	{"id", set_id, NULL, "ID|container id for logs and listings"},

	{"remount", NULL, "a view is always read-only; unmount it and mount it again", NULL},
	{"user", NULL, NOT_FOR_USERS, NULL},
	{"users", NULL, NOT_FOR_USERS, NULL},
};

enum { ACCEPTED_SIZE = 20 };

/*
 * Accepted without effect: what mount(8) and libfuse know, for what is always on stays on (also as
 * mountinfo shows it, which mount(8) hands back for a remount), and what overlayfs and containerd
 * know, for a view is of the committed layers. Arrays, not pointers: those would be pages of
 * relocations in every view's memory.
 */
static const char accepted[][ACCEPTED_SIZE] = {
	"ro",	      "rw",	     "suid",	      "nosuid",
	"dev",	      "nodev",	     "exec",	      "noexec",
	"sync",	      "async",	     "dirsync",	      "atime",
	"noatime",    "diratime",    "nodiratime",    "relatime",
	"norelatime", "strictatime", "nostrictatime", "lazytime",
	"nolazytime", "iversion",    "noiversion",    "mand",
	"nomand",     "symfollow",   "nosymfollow",   "silent",
	"loud",	      "defaults",    "allow_other",   "default_permissions",
	"auto",	      "noauto",	     "nofail",	      "nouser",
	"_netdev",    "volatile",    "bind",	      "rbind",
};
static const char accepted_with_value[][ACCEPTED_SIZE] = {
	"comment", "group_id",	 "user_id", "uhelper",	    "workdir",	"index",
	"xino",	   "nfs_export", "uuid",    "redirect_dir", "metacopy",
};

static const struct option_rule *find_rule(const char *name)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++)
		if (strcmp(rules[i].name, name) == 0)
			return &rules[i];
	return NULL;
}

static bool is_listed(const char (*names)[ACCEPTED_SIZE], size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static bool is_accepted(const char *name)
{
	return is_listed(accepted, sizeof(accepted) / ACCEPTED_SIZE, name);
}

static bool is_accepted_with_value(const char *name)
{
	return is_listed(accepted_with_value, sizeof(accepted_with_value) / ACCEPTED_SIZE, name);
}

/* x-systemd.automount, X-mount.mkdir=0755: other programs' own. */
static bool is_foreign(const char *name)
{
	return strncasecmp(name, "x-", 2) == 0;
}

static int apply_rule(struct options *options, const struct option_rule *rule, char *value,
		      struct view_error *error)
{
	if (rule->refused)
		return view_fail(error, MSG_OPTION_REFUSED, rule->name, rule->refused);
	if (value)
		overlay_unescape(value);
	if (!value || !*value)
		return view_fail(error, MSG_OPTION_NEEDS_VALUE, rule->name, rule->name);
	return rule->set(options, value, error);
}

/* An option that no setter took: its value is invalid, or it is unknown. A range has no map. */
static int refuse(const char *option, bool has_value, struct view_error *error)
{
	if (!options_know(option) || strchr(option, ':'))
		return view_fail(error, MSG_UNKNOWN_OPTION, option);
	if (has_value)
		return view_fail(error, MSG_OPTION_NO_VALUE, option);
	return view_fail(error, MSG_OPTION_NEEDS_VALUE, option, option);
}

static int set_option(struct options *options, char *option, struct view_error *error)
{
	char *value = strchr(option, '=');
	const struct option_rule *rule;
	int r;

	if (!*option)
		return 0;
	if (value)
		*value++ = '\0';
	r = overlay_options_set(&options->overlay, option, value, "mount options", error);
	if (r != 0)
		return r < 0 ? r : 0;
	rule = find_rule(option);
	if (rule)
		return apply_rule(options, rule, value, error);
	if (is_foreign(option) || (is_accepted(option) && !value) ||
	    (is_accepted_with_value(option) && value))
		return 0;
	return refuse(option, value != NULL, error);
}

int options_parse(struct options *options, char *list, struct view_error *error)
{
	char *option;

	while ((option = overlay_options_next(&list))) {
		int r = set_option(options, option, error);

		if (r < 0)
			return r;
	}
	return 0;
}

bool options_know(const char *name)
{
	return overlay_knows(name) || find_rule(name) || is_foreign(name) || is_accepted(name) ||
	       is_accepted_with_value(name);
}

void options_done(struct options *options)
{
	overlay_options_done(&options->overlay);
	free(TAKE_PTR(options->basedir));
	free(TAKE_PTR(options->binary));
	free(TAKE_PTR(options->initrd));
	free(TAKE_PTR(options->id));
	free(TAKE_PTR(options->cache));
}

static void print_option(const char *name, const char *value, const char *meaning)
{
	int width =
		printf("  -o %s%s%.*s", name, *value ? "=" : "", (int)strcspn(value, "\n"), value);

	printf("%*s%s\n", width < 30 ? 30 - width : 2, "", meaning);
}

void options_help(void)
{
	puts("Mount options:");
	print_option("lowerdir", "A:B:C", "the layers, topmost first, with overlayfs's escapes");
	print_option("lowerdir+", "A", "one more layer below");
	print_option("userxattr", "", "overlay marks are user.overlay.*, not trusted.overlay.*");
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		const char *bar = rules[i].help ? strrchr(rules[i].help, '|') : NULL;
		cleanup_free char *value = bar ? strndup(rules[i].help, bar - rules[i].help) : NULL;

		if (value)
			print_option(rules[i].name, value, bar + 1);
	}
	print_option("uidmap", "C:H:N", "on-disk ids C to C+N-1 appear as H to H+N-1");
	print_option("gidmap", "C:H:N", "the same for groups");
	puts("Other options of mount(8) and overlayfs are accepted and ignored; remount, user and\n"
	     "users are rejected.");
}
