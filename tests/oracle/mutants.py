# SPDX-License-Identifier: Apache-2.0
"""Single rules of the merge and of the walk, each got wrong in one way. Those of compressed layers
are in layer_mutants.py."""

from __future__ import annotations

from support.mutation import Mutant

MUTANTS: list[Mutant] = []

# Those of the index, which make answers wrong only after something has happened.
INDEX_MUTANTS: list[Mutant] = []


def mutant(name: str, *edits: tuple[str, str, str]) -> None:
    MUTANTS.append(Mutant(name, edits))


# ---------------------------------------------------------------------------------- whiteout.c

DEVICE = "S_ISCHR(facts->mode) && facts->rdev == makedev(0, 0)"

mutant("whiteouts-are-devices", ("whiteout.c", DEVICE, "facts->rdev != facts->rdev"))
mutant("any-chr-is-a-whiteout", ("whiteout.c", DEVICE, "S_ISCHR(facts->mode)"))
mutant(
    "a-block-device-is-a-whiteout",
    ("whiteout.c", DEVICE, f"({DEVICE}) || (S_ISBLK(facts->mode) && facts->rdev == 0)"),
)
mutant(
    "xattr-whiteouts-are-files",
    ("whiteout.c", " || facts->marks & OVL_XATTR_WHITEOUT)", ")"),
)
mutant(
    "xattr-whiteouts-of-any-size",
    ("whiteout.c", "(facts->size == 0 ? OVL_XATTR_WHITEOUT : 0)", "OVL_XATTR_WHITEOUT"),
)
mutant(
    "opaque-does-not-stop",
    ("whiteout.c", "return ENTRY_DIR_LAST;", "return ENTRY_DIR;"),
)
mutant(
    "redirects-are-ignored",
    ("whiteout.c", "facts->marks & OVL_XATTR_REDIRECT ? ENTRY_REFUSED : ENTRY_DIR", "ENTRY_DIR"),
)
mutant(
    "metacopy-is-ignored",
    ("whiteout.c", "facts->marks & OVL_XATTR_METACOPY ? ENTRY_REFUSED : ENTRY_LEAF", "ENTRY_LEAF"),
)
mutant(
    "metacopy-counts-on-any-leaf",
    ("whiteout.c", "\treturn 0;\n", "\treturn OVL_XATTR_METACOPY;\n"),
)
mutant(
    "an-opaque-directory-may-be-redirected",
    (
        "overlay-xattrs.c",
        "found & (OVL_XATTR_WHITEOUT | OVL_XATTR_OPAQUE)",
        "found & OVL_XATTR_WHITEOUT",
    ),
)
mutant(
    "redirects-count-on-the-last-layer",
    (
        "whiteout.c",
        "last ? 0 : OVL_XATTR_OPAQUE | OVL_XATTR_REDIRECT",
        "OVL_XATTR_OPAQUE | OVL_XATTR_REDIRECT",
    ),
)

# ----------------------------------------------------------------------------- overlay-xattrs.c

OPAQUE = """\
	char value;
	ssize_t n = mark_get(fd, name, &value, 1);

	return n == -ESTALE ? -ESTALE : n == 1 && value == 'y';
"""
OPAQUE_PREFIX = """\
	char value[8];
	ssize_t n = mark_get(fd, name, value, sizeof(value));

	return n == -ESTALE ? -ESTALE : n >= 1 && value[0] == 'y';
"""

mutant("opaque-yes", ("overlay-xattrs.c", OPAQUE, OPAQUE_PREFIX))
mutant("opaque-of-any-byte", ("overlay-xattrs.c", "n == 1 && value == 'y'", "n == 1"))
mutant(
    "opaque-by-presence",
    ("overlay-xattrs.c", "n == 1 && value == 'y'", "n >= 0 || n == -ERANGE"),
)
mutant(
    "an-empty-whiteout-mark-is-none",
    ("overlay-xattrs.c", "n == -ESTALE ? -ESTALE : n >= 0;", "n == -ESTALE ? -ESTALE : n > 0;"),
)

CHOICE = "userxattr ? names[i].user : names[i].trusted"

mutant(
    "user-and-trusted-mixed-up",
    ("overlay-xattrs.c", CHOICE, "userxattr ? names[i].trusted : names[i].user"),
)
mutant("always-trusted", ("overlay-xattrs.c", CHOICE, "names[i].trusted"))
mutant("always-user", ("overlay-xattrs.c", CHOICE, "names[i].user"))
mutant(
    "either-namespace",
    (
        "overlay-xattrs.c",
        f"r = mark_read(fd, mark, {CHOICE}, userxattr,\n\t\t\t      ret_invalid);",
        "r = mark_read(fd, mark, names[i].user, userxattr, ret_invalid);\n\t\tif (r == 0)\n"
        "\t\t\tr = mark_read(fd, mark, names[i].trusted, userxattr, ret_invalid);",
    ),
)
mutant(
    "no-redirect-is-invalid",
    ("overlay-xattrs.c", "return redirect_is_valid(value) ? 1 : -EINVAL;", "return 1;"),
)
mutant(
    "an-empty-redirect-is-valid",
    ("overlay-xattrs.c", "n == 0)\n\t\treturn -EINVAL;", "n == 0)\n\t\treturn 1;"),
)
mutant(
    "a-relative-redirect-may-have-a-slash",
    ("overlay-xattrs.c", "return !strchr(value, '/');", "return true;"),
)
mutant(
    "a-redirect-on-a-plain-file-is-read",
    ("overlay-xattrs.c", "!is_dir && !(found & OVL_XATTR_METACOPY)", "false"),
)
mutant(
    "metacopy-of-any-size",
    ("overlay-xattrs.c", "n == 0 || n >= METACOPY_SIZE_MIN ? 1 : -EIO", "1"),
)
mutant(
    "metacopy-of-no-more-than-68-bytes",
    ("overlay-xattrs.c", "n >= METACOPY_SIZE_MIN ? 1", "(n >= METACOPY_SIZE_MIN && n <= 68) ? 1"),
)

# ------------------------------------------------------------------------------------- merge.c

HIDDEN = "note(row, i, PROBE_HIDDEN, &entry);\n\t\t"
LAST = "merge_layer(stack, at, i, i == last, row, &found)"
PART = "if (at->member_depth[i] >= at->depth)\n\t\t\tr = merge_layer("

mutant(
    "opaque-roots",
    (
        "merge.c",
        "i <= last && i < stack->known;",
        "i <= last && i < stack->known &&\n"
        "\t\t!(at->depth == 0 && i > 0 && root_is_opaque(stack, i - 1));",
    ),
    (
        "merge.c",
        "int merge_lookup(",
        """\
static bool root_is_opaque(struct li_stack *stack, size_t i)
{
	cleanup_with(entry_done) struct entry root = ENTRY_INIT;
	unsigned marks = 0;
	bool invalid;

	if (stack_open_entry(stack, i, "", &root) == 0)
		overlay_xattrs_read(root.fd, OVL_XATTR_OPAQUE, stack->userxattr, true, &marks, &invalid);
	return marks;
}

int merge_lookup(""",
    ),
)
mutant(
    "a-file-below-a-directory-does-not-stop",
    ("merge.c", f"{HIDDEN}return 1;", f"{HIDDEN}return 0;"),
)
mutant(
    "a-whiteout-does-not-stop",
    ("merge.c", "ENTRY_WHITEOUT)\n\t\treturn 1;", "ENTRY_WHITEOUT)\n\t\treturn 0;"),
)
mutant(
    "a-file-does-not-stop",
    ("merge.c", "return class != ENTRY_DIR;", "return class == ENTRY_DIR_LAST;"),
)
mutant(
    "layers-that-the-parent-does-not-have",
    ("merge.c", PART, "if (i < stack->size)\n\t\t\tr = merge_layer("),
    ("merge.c", "size_t last = last_layer(stack, at);", "size_t last = stack->size - 1;"),
    ("merge.c", "r == -ENAMETOOLONG", "r == -ENOTDIR || r == -ELOOP"),
)
mutant(
    "the-last-layer-is-like-any",
    ("merge.c", LAST, LAST.replace("i == last", "false")),
)
mutant(
    "the-last-layer-of-the-stack",
    ("merge.c", LAST, LAST.replace("i == last", "i == stack->size - 1")),
)
mutant(
    "attributes-of-the-lowest-directory",
    ("merge.c", "\tif (!is_found(found))\n\t\ttake_entry(", "\tentry_done(found);\n\ttake_entry("),
)
mutant(
    "layers-stay-when-leaving-a-directory",
    ("cursor.c", "if (at->member_depth[i] > depth)", "if (at->member_depth[i] > depth + 1)"),
)

# ----------------------------------------------------------------------------------- resolve.c

LEXICALLY = """\
walk.next = walk.rest = strdup(path);
	for (char *dots; walk.rest && (dots = strstr(walk.rest, "/.."));) {
		char *name = dots;

		if (dots == walk.rest || (dots[3] && dots[3] != '/'))
			break;
		while (name > walk.rest && name[-1] != '/')
			name--;
		dots += dots[3] ? 4 : 3;
		memmove(name, dots, strlen(dots) + 1);
	}
"""

mutant("41-links", ("resolve.c", "> LI_LINKS_MAX", "> LI_LINKS_MAX + 1"))
mutant("39-links", ("resolve.c", "> LI_LINKS_MAX", "> LI_LINKS_MAX - 1"))
mutant("dot-dot-is-lexical", ("resolve.c", "walk.next = walk.rest = strdup(path);\n", LEXICALLY))
mutant("dot-dot-stays", ("resolve.c", "\t\tcursor_parent(&walk->at);\n", ""))
mutant(
    "an-absolute-link-is-relative",
    ("resolve.c", "if (body[0] == '/')", "if (body[0] == '\\0')"),
)
mutant(
    "every-link-is-absolute",
    ("resolve.c", "if (body[0] == '/')", "if (body[0] != '\\0')"),
)
mutant(
    "a-slash-does-not-follow",
    (
        "resolve.c",
        "if (*walk->next || !walk->nofollow)",
        'if (walk->next[strspn(walk->next, "/")] || !walk->nofollow)',
    ),
)
mutant(
    "a-slash-after-a-file-is-nothing",
    (
        "resolve.c",
        "} else if (*walk->next) {",
        '} else if (walk->next[strspn(walk->next, "/")]) {',
    ),
)
mutant(
    "a-file-on-the-way-is-missing",
    ("resolve.c", "return -ENOTDIR;", "return -ENOENT;"),
)
mutant(
    "a-name-too-long-is-missing",
    (
        "resolve.c",
        "if (length > LI_NAME_MAX)\n\t\treturn -ENAMETOOLONG;",
        "if (length > LI_NAME_MAX)\n\t\treturn -ENOENT;",
    ),
)
mutant("a-path-of-4096-bytes", ("resolve.c", "(path) > LI_PATH_MAX", "(path) > LI_PATH_MAX + 1"))
mutant("the-empty-path-is-the-root", ("resolve.c", "if (!*path)\n", "if (!path)\n"))
mutant(
    "a-link-at-the-end-is-followed",
    ("resolve.c", "flags & LI_RESOLVE_NOFOLLOW", "flags & 0"),
)

# ------------------------------------------------------------------------------------- the index


def index_mutant(name: str, *edits: tuple[str, str, str]) -> None:
    INDEX_MUTANTS.append(Mutant(name, edits))


index_mutant("stamps-are-believed", ("merge.c", "!stamp_matches(&fact->stamp, &entry.st)", "false"))
index_mutant("a-mount-that-is-back", ("identity.c", "\t\tstx->stx_mnt_id,\n", "\t\t0,\n"))
index_mutant(
    "a-layer-is-where-it-lies",
    ("identity.c", "\t\tstx->stx_ino,\n", "\t\t0,\n"),
    ("identity.c", "nanoseconds(&stx->stx_btime)", "0"),
    ("identity.c", "nanoseconds(&stx->stx_ctime)", "0"),
)
index_mutant(
    "the-order-of-layers-is-nothing",
    (
        "identity.c",
        "struct siphash_key key = {{below->words[0], below->words[1]}};",
        "struct siphash_key key = {{below != NULL, 1}};",
    ),
    ("stack-index.c", "memcmp(&chain->top, &known->tops[i], sizeof(chain->top)) == 0", "true"),
)
index_mutant(
    "both-kinds-of-marks-are-one",
    ("identity.c", "(uint8_t[]){userxattr}", "(uint8_t[]){userxattr && false}"),
)
index_mutant(
    "a-layer-that-was-not-asked-has-nothing",
    ("lookup-log.c", "seen == PROBE_NOTHING || (", "("),
    ("lookup-log.c", "return seen != PROBE_ABSENT &&", "return seen != PROBE_ABSENT && seen &&"),
)
index_mutant(
    "what-is-hidden-is-absent",
    ("lookup-log.c", "(seen == PROBE_HIDDEN && !found)", "false"),
)
index_mutant(
    "nothing-hides-what-is-known",
    (
        "merge.c",
        "if (r == 0 && is_known_below(stack, at))",
        "if (r >= 0 && is_known_below(stack, at))",
    ),
)
index_mutant(
    "the-layers-below-always-count",
    (
        "merge.c",
        "stack->known < stack->size && at->member_depth[stack->known] >= at->depth",
        "stack->known < stack->size",
    ),
)
index_mutant(
    "what-is-unknown-is-absent",
    ("merge.c", "\t\tstack_index_forget(stack, false);\n\t\treturn -ENODATA;\n", "\t\treturn 0;\n"),
)
