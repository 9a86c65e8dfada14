/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One table says which options there are, what values they require, and where the values go. It has
 * arrays and no pointers: pointers would be pages of relocations in every view's memory.
 */
#include "fuse/cli/options.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/messages.h"
#include "fuse/base/words.h"

enum option_kind {
	OPTION_OVERLAY, /* overlay_options_set() takes it */
	OPTION_STRING,	/* char *, owned */
	OPTION_ID,	/* the same, of at most ID_MAX bytes */
	OPTION_WORD,	/* an enum, in the order of the words */
	OPTION_SECONDS, /* unsigned */
	OPTION_OWNER,	/* int64_t */
	OPTION_MODE,	/* int */
	OPTION_BYTES,	/* uint64_t */
	OPTION_DIGEST,	/* struct digest_wish */
	OPTION_REJECTED,
};

/* Of fstab: mount(8) would start the helper as the user, who cannot read the layers' marks. */
#define NOT_FOR_USERS \
	"views in fstab belong to root; users mount their own with urunc-viewfs -o userxattr"

#define IN(member) offsetof(struct options, member)

static const struct option_rule {
	char name[16];
	enum option_kind kind;
	unsigned short offset; /* of the member of struct options that the value goes to */
	char value[18];	       /* the words that it may be, or what --help calls it; "": none */
	char help[96];	       /* "": not in --help; of a rejected one why */
} rules[] = {
	{"lowerdir", OPTION_OVERLAY, 0, "A:B:C",
	 "the layers, topmost first, with overlayfs's escapes"},
	{"lowerdir+", OPTION_OVERLAY, 0, "A", "one more layer below"},
	{"datadir+", OPTION_OVERLAY, 0, "A", ""},
	{"upperdir", OPTION_OVERLAY, 0, "DIR", ""},
	{"userxattr", OPTION_OVERLAY, 0, "",
	 "overlay marks are user.overlay.*, not trusted.overlay.*"},
	{"binary", OPTION_STRING, IN(binary), "PATH", "the unikernel, in place of the image's own"},
	{"initrd", OPTION_STRING, IN(initrd), "PATH", "the initrd, in place of the image's own"},
	{"digest.binary", OPTION_DIGEST, IN(pins[PIN_BINARY]), "DIGEST",
	 "fail unless the unikernel has this digest"},
	{"digest.initrd", OPTION_DIGEST, IN(pins[PIN_INITRD]), "DIGEST",
	 "fail unless the initrd has this digest"},
	{"digest.config", OPTION_DIGEST, IN(pins[PIN_CONFIG]), "DIGEST",
	 "fail unless urunc.json has this digest"},
	{"timeout", OPTION_SECONDS, IN(timeout), "SECONDS",
	 "give up mounting after this time (10)"},
	{"resolve", OPTION_WORD, IN(resolve), "lazy|ready",
	 "find the artifacts on first use, or before the mount is announced (lazy)"},
	{"passthrough", OPTION_WORD, IN(passthrough), "auto|on|off",
	 "let the kernel read the layer's file directly; on fails the mount where it cannot "
	 "(auto)"},
	{"sandbox", OPTION_WORD, IN(sandbox), "auto|require",
	 "drop what serving does not require if this kernel can, or fail (auto)"},
	{"survive", OPTION_WORD, IN(survive), "off|on",
	 "a second process takes over if the first is killed (off)"},
	{"decode", OPTION_WORD, IN(decode), "strict|auto",
	 "values of urunc.json: base64 only, or also b64: and plain text (strict)"},
	{"uid", OPTION_OWNER, IN(uid), "UID", "force the owner of the artifacts"},
	{"gid", OPTION_OWNER, IN(gid), "GID", "force the group of the artifacts"},
	{"mode", OPTION_MODE, IN(mode), "OCTAL",
	 "force the permission bits of the artifacts; write bits are masked"},
	{"cache", OPTION_STRING, IN(cache), "DIR|none",
	 "directory of the layer index (for containerd's layers: /run/urunc-viewfs/.index)"},
	{"store", OPTION_STRING, IN(store), "DIR",
	 "directory of the artifact store, for --chain (/var/cache/urunc-viewfs)"},
	{"store-size", OPTION_BYTES, IN(store_size), "BYTES",
	 "size limit of the artifact store; K, M, G and T are powers of 1024 (4G)"},
	{"ingest", OPTION_WORD, IN(ingest), "later|wait|no",
	 "add an image that the store lacks in the background, or wait for it (later; --oci: "
	 "wait)"},
	{"toc", OPTION_WORD, IN(toc), "auto|off",
	 "use the table of contents of a layer if the manifest vouches for it, or never (auto)"},
	{"platform", OPTION_STRING, IN(platform), "OS/ARCH[/VARIANT]",
	 "which manifest of an index counts (the host's)"},
	{"basedir", OPTION_STRING, IN(basedir), "DIR", "base directory of relative layer paths"},
	{"id", OPTION_ID, IN(id), "ID", "container id for logs and listings"},
	{"uidmap", OPTION_OVERLAY, 0, "C:H:N", "on-disk ids C to C+N-1 appear as H to H+N-1"},
	{"gidmap", OPTION_OVERLAY, 0, "C:H:N", "the same for groups"},

	{"remount", OPTION_REJECTED, 0, "",
	 "a view is always read-only; unmount it and mount it again"},
	{"user", OPTION_REJECTED, 0, "", NOT_FOR_USERS},
	{"users", OPTION_REJECTED, 0, "", NOT_FOR_USERS},
};

/*
 * Accepted and ignored: options of mount(8) and libfuse, because a view's flags are fixed (also as
 * mountinfo shows them, which mount(8) hands back for a remount), and options of overlayfs and
 * containerd, because a view shows the committed layers.
 */
static const char ignored[] =
	"ro|rw|suid|nosuid|dev|nodev|exec|noexec|sync|async|dirsync|atime|noatime|diratime|"
	"nodiratime|relatime|norelatime|strictatime|nostrictatime|lazytime|nolazytime|iversion|"
	"noiversion|mand|nomand|symfollow|nosymfollow|silent|loud|defaults|allow_other|"
	"default_permissions|auto|noauto|nofail|nouser|_netdev|volatile|bind|rbind";
static const char ignored_with_value[] =
	"comment|group_id|user_id|uhelper|fsname|subtype|workdir|index|xino|nfs_export|uuid|"
	"redirect_dir|metacopy";
/* SELinux's, which it applies to the mount. A value with commas stands in quotes. */
static const char contexts[] = "context|fscontext|defcontext|rootcontext";

static const struct option_rule *option_find(const char *name)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++)
		if (strcmp(rules[i].name, name) == 0)
			return &rules[i];
	return NULL;
}

/* x-systemd.automount, X-mount.mkdir=0755: other programs' own. */
static bool option_is_foreign(const char *name)
{
	return strncasecmp(name, "x-", 2) == 0;
}

static bool is_ignored_with_value(const char *name)
{
	return words_find(ignored_with_value, name) >= 0 || words_find(contexts, name) >= 0;
}

static int option_set_string(char **ret, const char *value, struct view_error *error)
{
	return text_replace(ret, value) < 0 ? view_fail(error, MSG_NO_MEMORY) : 0;
}

static int option_fail_value(const struct option_rule *rule, const char *value,
			     const char *expected, struct view_error *error)
{
	return view_fail(error, MSG_OPTION_VALUE, rule->name, value, expected);
}

static int option_set_word(int *ret, const struct option_rule *rule, const char *value,
			   struct view_error *error)
{
	int word = words_find(rule->value, value);
	char expected[WORDS_PHRASE_SIZE];

	if (word < 0) {
		words_phrase(rule->value, expected);
		return option_fail_value(rule, value, expected, error);
	}
	*ret = word;
	return 0;
}

/* Puts *value* where the rule says. */
static int option_set_value(struct options *options, const struct option_rule *rule,
			    const char *value, struct view_error *error)
{
	void *ret = (char *)options + rule->offset;
	uint64_t n;

	switch (rule->kind) {
	case OPTION_WORD: return option_set_word(ret, rule, value, error);
	case OPTION_STRING: return option_set_string(ret, value, error);
	case OPTION_ID:
		if (strlen(value) > ID_MAX)
			return option_fail_value(rule, value, "an id of at most 255 bytes", error);
		return option_set_string(ret, value, error);
	case OPTION_SECONDS:
		if (parse_uint(value, 10, TIMEOUT_MAX, &n) < 0 || n == 0)
			return option_fail_value(rule, value, "a number of seconds from 1 to 86400",
						 error);
		*(unsigned *)ret = (unsigned)n;
		return 0;
	case OPTION_OWNER:
		/* 2^32 - 1 is no owner: it means "leave as it is" to chown(2). */
		if (parse_uint(value, 10, UINT32_MAX - 1, &n) < 0)
			return option_fail_value(rule, value, "a numeric id", error);
		*(int64_t *)ret = (int64_t)n;
		return 0;
	case OPTION_MODE:
		if (parse_uint(value, 8, 0777, &n) < 0)
			return option_fail_value(rule, value, "octal permission bits up to 0777",
						 error);
		*(int *)ret = (int)(n & ~0222U);
		return 0;
	case OPTION_BYTES:
		if (parse_bytes(value, ret) < 0)
			return option_fail_value(rule, value, "a number of bytes such as 4G",
						 error);
		return 0;
	case OPTION_DIGEST:
		if (digest_parse(value, &((struct digest_wish *)ret)->digest) < 0)
			return option_fail_value(rule, value,
						 "sha256: and 64 digits of 0-9 and a-f", error);
		((struct digest_wish *)ret)->given = true;
		return 0;
	case OPTION_OVERLAY:
	case OPTION_REJECTED: break;
	}
	return 0;
}

static int option_apply(struct options *options, const struct option_rule *rule, char *value,
			struct view_error *error)
{
	if (rule->kind == OPTION_REJECTED)
		return view_fail(error, MSG_OPTION_REFUSED, rule->name, rule->help);
	if (!*rule->value)
		return view_fail(error, MSG_OPTION_NO_VALUE, rule->name);
	if (value)
		overlay_unescape(value);
	if (!value || !*value)
		return view_fail(error, MSG_OPTION_NEEDS_VALUE, rule->name, rule->name);
	return option_set_value(options, rule, value, error);
}

void options_print_names(void)
{
	const char *before = "";

	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		if (rules[i].kind == OPTION_REJECTED)
			continue;
		printf("%s\"%s\"", before, rules[i].name);
		before = ",";
	}
}

static int option_refuse_unknown(const char *option, struct view_error *error)
{
	struct nearest nearest = nearest_to(option, strlen(option));

	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++)
		if (rules[i].kind != OPTION_REJECTED)
			nearest_offer(&nearest, rules[i].name);
	nearest_offer(&nearest, ignored);
	nearest_offer(&nearest, ignored_with_value);
	nearest_offer(&nearest, contexts);
	if (*nearest.word)
		return view_fail(error, MSG_UNKNOWN_OPTION_NEAR, option, nearest.word);
	return view_fail(error, MSG_UNKNOWN_OPTION, option);
}

static int option_set(struct options *options, char *option, struct view_error *error)
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
	rule = option_find(option);
	if (rule)
		return option_apply(options, rule, value, error);
	if (option_is_foreign(option))
		return 0;
	if (words_find(ignored, option) >= 0)
		return value ? view_fail(error, MSG_OPTION_NO_VALUE, option) : 0;
	if (is_ignored_with_value(option))
		return value ? 0 : view_fail(error, MSG_OPTION_NEEDS_VALUE, option, option);
	return option_refuse_unknown(option, error);
}

/*
 * Whether *option* is a context whose quotes are still open, as mount(8) hands it on:
 * context="system_u:object_r:container_file_t:s0:c1,c2".
 */
static bool is_quoted_context(const char *option)
{
	size_t n = strcspn(option, "=");
	char name[WORD_MAX + 1];

	if (n > WORD_MAX || option[n] != '=' || option[n + 1] != '"' || strchr(option + n + 2, '"'))
		return false;
	memcpy(name, option, n);
	name[n] = '\0';
	return words_find(contexts, name) >= 0;
}

char *options_next(char **rest)
{
	char *option = overlay_options_next(rest);
	char *quote = option && *rest && is_quoted_context(option) ? strchr(*rest, '"') : NULL;

	if (!quote)
		return option;
	(*rest)[-1] = ',';
	*rest = quote + 1;
	overlay_options_next(rest);
	return option;
}

int options_parse(struct options *options, char *list, struct view_error *error)
{
	char *option;

	while ((option = options_next(&list))) {
		int r = option_set(options, option, error);

		if (r < 0)
			return r;
	}
	return 0;
}

bool options_know(const char *name)
{
	return option_find(name) || option_is_foreign(name) || overlay_is_idmap_range(name) ||
	       words_find(ignored, name) >= 0 || is_ignored_with_value(name);
}

void options_done(struct options *options)
{
	overlay_options_done(&options->overlay);
	free(TAKE_PTR(options->platform));
	free(TAKE_PTR(options->basedir));
	free(TAKE_PTR(options->binary));
	free(TAKE_PTR(options->initrd));
	free(TAKE_PTR(options->id));
	free(TAKE_PTR(options->cache));
	free(TAKE_PTR(options->store));
}

void options_help(void)
{
	puts("Mount options:");
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		const struct option_rule *rule = &rules[i];
		int width;

		if (!*rule->help || rule->kind == OPTION_REJECTED)
			continue;
		width = printf("  -o %s%s%s", rule->name, *rule->value ? "=" : "", rule->value);
		printf("%*s%s\n", width < 30 ? 30 - width : 2, "", rule->help);
	}
	puts("Other options of mount(8) and overlayfs are accepted and ignored; remount, user and\n"
	     "users are rejected.");
}
