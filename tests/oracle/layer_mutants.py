# SPDX-License-Identifier: Apache-2.0
"""Single rules of reading and unpacking compressed layers, each got wrong in one way."""

from __future__ import annotations

from support.mutation import Mutant

LAYER_MUTANTS: list[Mutant] = []


def mutant(name: str, *edits: tuple[str, str, str]) -> None:
    LAYER_MUTANTS.append(Mutant(name, edits))


# ------------------------------------------------------------------------- apply.c: whiteouts

WHITEOUT = "strncmp(base, WHITEOUT, whiteout_length) != 0"
NAMELESS = "mark == ENTRY_WHITEOUT && entry_is_root(hidden)"
KEPT = "bool kept = names[i].written == apply->layers;"
OWN = "names[name].file != TREE_NO_FILE && names[name].written == apply->layers"
LOST = "if (apply->tree.names[apply->lost[i]].file == TREE_NO_FILE)"

mutant("a-whiteout-is-a-file", ("entry-check.c", WHITEOUT, "*base"))
mutant("a-whiteout-must-be-a-file", ("apply.c", "if (r != 0)\n\t\treturn r < 0 ? r : 0;\n\t/*", "if (r < 0 || (r != 0 && entry->type == '0'))\n\t\treturn r < 0 ? r : 0;\n\t/*"))
mutant("a-whiteout-removes-nothing", ("apply.c", "r = name == UINT32_MAX ? 0 : remove_all(apply, name);", "r = 0;"))
mutant("a-whiteout-of-no-name", ("entry-check.c", NAMELESS, f"{NAMELESS} && *hidden"))
mutant("a-whiteout-of-dot", ("entry-check.c", NAMELESS, f'{NAMELESS} && strcmp(hidden, ".") != 0'))
mutant("a-whiteout-of-dot-dot", ("entry-check.c", NAMELESS, f'{NAMELESS} && strcmp(hidden, "..") != 0'))
mutant("opaque-is-a-whiteout-like-any", ("entry-check.c", "strcmp(base, OPAQUE) == 0", "!*base"))
mutant("opaque-hides-nothing", ("apply.c", "r = make_opaque(apply, place->parent);", "r = 0;"))
mutant("opaque-hides-the-layers-own", ("apply.c", KEPT, "bool kept = false;"))
mutant("opaque-hides-one-level", ("apply.c", "if (kept && is_directory(", "if (!kept && is_directory("))
mutant("a-whiteout-of-the-layers-own-is-certain", ("apply.c", "if (r < 0 || nothing_is_lost(apply))", "if (r <= 0 || nothing_is_lost(apply))"))
mutant("what-comes-back-stays-lost", ("apply.c", LOST, "if (i < count)"))
mutant("files-of-lower-layers-are-lost-too", ("apply.c", OWN, "names[name].file != TREE_NO_FILE"))
mutant("what-was-removed-is-the-layers-own", ("apply.c", OWN, "names[name].written == apply->layers"))
mutant("only-the-name-itself-is-lost", ("apply.c", "if (names[i].child != UINT32_MAX) {\n\t\t\ti", "if (names[i].child == name) {\n\t\t\ti"))

# ------------------------------------------------------------------ apply.c: names and parents

ROOTS = '!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0'
NO_DIRECTORY = 'if (!is_directory(tree_file(tree, name)))\n\t\t\t\treturn refuse(apply, "a file stands where a directory must be");'
FOLLOWED = "r = root_path(&apply->tree, parent, ret_parent);"
REPLACED = "if (replaces(&apply->tree, name, entry))"

mutant("dot-is-a-name", ("entry-check.c", ROOTS, '!*base || strcmp(base, "..") == 0'))
mutant("dot-dot-is-a-name", ("entry-check.c", ROOTS, '!*base || strcmp(base, ".") == 0'))
mutant("parents-are-private", ("apply.c", ".mode = 0755", ".mode = 0700"))
mutant("a-file-may-be-a-parent", ("apply.c", NO_DIRECTORY, ""))
mutant("a-parent-takes-a-files-place", ("apply.c", "if (r == 0 && !tree_file(tree, name))", "if (r == 0 && !is_directory(tree_file(tree, name)))"))
mutant("links-of-parents-are-not-followed", ("apply.c", FOLLOWED, "strcpy(ret_parent, parent);\n\tr = 0;"))
mutant("links-of-parents-are-followed-in-the-first-layer", ("apply.c", FOLLOWED, "strcpy(ret_parent, parent);\n\tr = apply->layers > 1 ? 0 : root_path(&apply->tree, parent, ret_parent);"))
mutant("names-of-256-bytes", ("entry-check.c", "if (strlen(hidden) > NAME_MAX)", "if (strlen(hidden) > NAME_MAX + 1)"))
mutant("names-of-254-bytes", ("entry-check.c", "if (strlen(hidden) > NAME_MAX)", "if (strlen(hidden) >= NAME_MAX)"))
mutant("a-directory-replaces-a-directory", ("apply.c", REPLACED, "if (apply->layers)"))
mutant("a-file-keeps-what-was-below", ("apply.c", REPLACED, "if (!apply->layers)"))
mutant("a-removed-directory-keeps-what-was-below", ("tree.c", "(at->file != TREE_NO_FILE || !at->known) && at->child != UINT32_MAX", "at->child == name"))

# ---------------------------------------------------------------- apply.c: files and attributes

ATTRIBUTES = "\t\tset_attributes(tree_file(&apply->tree, name), entry);"

mutant("attributes-are-the-first-ones", ("apply.c", "if (is_directory(tree_file(&apply->tree, name)))\n\t\t\treturn 0;", "if (is_directory(tree_file(&apply->tree, name)))\n\t\t\treturn 1;"), ("apply.c", "\t\tif (r < 0)\n\t\t\treturn r;\n\t\tset_attributes", "\t\tif (r < 0)\n\t\t\treturn r;\n\t\tif (r == 0)\n\t\t\tset_attributes"))
mutant("no-special-bits", ("apply.c", "& 07777", "& 0777"))
mutant("owners-of-16-bits", ("apply.c", "file->uid = (uint32_t)entry->uid;", "file->uid = (uint16_t)entry->uid;"))
mutant("an-owner-of-minus-1", ("apply.c", "if ((uint32_t)entry->uid != UINT32_MAX)", "if (entry->type)"))
mutant("times-before-1970", ("apply.c", "if (time.tv_sec < 0 || ", "if ("))
mutant("no-group", ("apply.c", "file->gid = (uint32_t)entry->gid;", ""))
mutant("whole-seconds", ("apply.c", "\treturn time;\n", "\ttime.tv_nsec = 0;\n\treturn time;\n"))
mutant("an-unknown-type-is-a-file", ("entry-check.c", '!entry->type || !strchr("0123456g", entry->type)', "!entry->type"))
mutant("a-global-header-is-a-file", ("apply.c", "if (entry->type != 'g') {", "if (entry->type) {"))
mutant("a-global-header-means-nothing", ("apply.c", "int r = reason ? refuse(apply, reason) : find_place(apply, entry->name, &place);", "int r = reason ? refuse(apply, reason) : entry->type == 'g' ? 0 : find_place(apply, entry->name, &place);"))
mutant("a-directory-may-be-removed-again", ("apply.c", "else if (deferred->known)\n", "else if (!apply)\n"))
mutant("a-symlink-to-nothing", ("entry-check.c", "(!*entry->link || strlen(entry->link) >= PATH_MAX)", "strlen(entry->link) >= PATH_MAX"))

# ------------------------------------------------------------------------ apply.c: hard links

LINKED = "apply->tree.names[name].file = apply->tree.names[found].file;\n\treturn 0;"
MISSING = "if (r == -ENOENT)\n\t\treturn refuse("
TARGET = 'snprintf(whole, sizeof(whole), "%s/%s", path, base);'

mutant("a-hard-link-is-a-copy", ("apply.c", LINKED, "struct tree_file copy = *target;\n\treturn tree_make(&apply->tree, name, &copy);"))
mutant("a-hard-link-leaves-the-attributes", ("apply.c", ATTRIBUTES, f"if (entry->type != '1')\n{ATTRIBUTES}"))
mutant("a-hard-link-follows-its-last-link", ("apply.c", "r = path_clean(whole, path);", "r = root_path(&apply->tree, whole, path);"))
mutant("a-hard-link-follows-no-link", ("apply.c", TARGET, 'snprintf(whole, sizeof(whole), "/%s", entry->link);'))
mutant("a-hard-link-of-a-directory", ("apply.c", "if (target->type == TREE_DIRECTORY)", "if (target->type > TREE_FIFO)"))
mutant("a-hard-link-of-nothing", ("apply.c", MISSING, "if (r == -ENOENT)\n\t\treturn tree_make(&apply->tree, name, &(struct tree_file){.type = TREE_FILE});\n\tif (!apply)\n\t\treturn refuse("))
mutant("a-hard-link-within-its-layer", ("apply.c", MISSING, "if (r == -ENOENT || (r == 0 && apply->tree.names[found].written != apply->layers))\n\t\treturn refuse("))

# ---------------------------------------------------------------------------------- root-path.c

mutant("dot-dot-climbs-out", ("root-path.c", "&& (drop_last(ret, &length, root) || root))", "&& drop_last(ret, &length, root))"))
mutant("absolute-targets-are-relative", ("root-path.c", "if (is_first || *file->target == '/') {", "if (is_first) {"))
mutant("the-first-target-is-like-any", ("root-path.c", "if (is_first || *file->target == '/') {", "if (*file->target == '/') {"))
mutant("links-are-followed-once", ("root-path.c", "} while (walk.links != before);", "} while (false);"))
mutant("199-links", ("root-path.c", "if (walk->links > ROOT_PATH_LINKS_MAX)", "if (walk->links > 198)"))
mutant("300-links", ("root-path.c", "if (walk->links > ROOT_PATH_LINKS_MAX)", "if (walk->links > 300)"))

# --------------------------------------------------------------------------------------- tar.c

HEADER_ONLY = "return type >= '1' && type <= '6';"

mutant("a-block-of-zeros-is-skipped", ("tar.c", "r = ends == 0 ? tar_header_parse(block, &tar->header) : -EBADMSG;", "r = tar_header_parse(block, &tar->header);"))
mutant("a-block-of-zeros-is-the-end", ("tar.c", "if (ends == 1)", "if (ends == 0)"))
mutant("three-blocks-of-zeros-are-the-end", ("tar.c", "if (ends == 1)", "if (ends == 2)"))
mutant("the-last-padding-must-be-there", ("tar.c", "TAKE(tar->padding, 0) ? 1 : 0;", "TAKE(tar->padding, 0) ? 1 : -EBADMSG;"))
mutant("a-cut-header-is-the-end", ("tar.c", "if (n < TAR_BLOCK)\n\t\t\treturn -EBADMSG;", "if (n < TAR_BLOCK)\n\t\t\treturn 0;"))
mutant("a-link-has-content", ("tar.c", HEADER_ONLY, "return type >= '2' && type <= '6';"))
mutant("a-directory-has-content", ("tar.c", HEADER_ONLY, "return type >= '1' && type <= '6' && type != '5';"))
mutant("a-symlink-has-content", ("tar.c", HEADER_ONLY, "return type >= '1' && type <= '6' && type != '2';"))
mutant("headers-of-any-size", ("tar.c", "if (tar->held > TAR_SPECIAL_MAX)", "if (tar->held > 64 << 20)"))
mutant("a-slash-makes-any-file-a-directory", ("tar.c", "if (entry->type == '\\0')\n", "if (entry->type == '\\0' || entry->type == '0')\n"))
mutant("type-nul-is-a-file", ("tar.c", "name[length - 1] == '/' ? '5' : '0'", "name[length - 1] == '/' ? '0' : '0'"))
mutant("long-names-are-ignored", ("tar.c", "if (ahead->long_name && *ahead->long_name)", "if (!ahead)"))
mutant("a-pax-path-replaces-a-long-name", ("tar.c", "if (ahead->long_name && *ahead->long_name)", "if (ahead->long_name && *ahead->long_name && values[PAX_PATH].length == 0)"))
mutant("long-targets-are-ignored", ("tar.c", "if (ahead->long_link && *ahead->long_link)", "if (!ahead)"))
mutant("pax-paths-are-ignored", ("tar.c", "if (values[PAX_PATH].length > 0)\n\t\tentry->name = values", "if (!ahead)\n\t\tentry->name = values"))
mutant("pax-targets-are-ignored", ("tar.c", "if (values[PAX_LINKPATH].length > 0)", "if (!ahead)"))
mutant("pax-sizes-are-ignored", ("tar.c", "\t\t[PAX_SIZE] = &entry->size,\n", ""))
mutant("pax-owners-are-ignored", ("tar.c", "\t\t[PAX_UID] = &entry->uid,\n", ""))
mutant("pax-times-are-ignored", ("tar.c", "\t\t[PAX_MTIME] = &entry->mtime,\n", ""))
mutant("global-headers-are-local", ("tar.c", "return type == 'x' ? 1 : 0;", "return 1;"))
mutant("global-headers-have-no-path", ("tar.c", "if (ahead->pax.values[PAX_PATH].length > 0)", "if (!ahead)"))
mutant("no-sparse-files", ("tar.c", "if (form == 0)\n", "if (form >= 0)\n"))
mutant("no-sparse-files-of-version-1", ("tar.c", 'if (equals(major, "1") && equals(minor, "0"))\n\t\treturn 2;', ""))
mutant("holes-are-left-out", ("tar.c", "if (*ret_hole)\n\t\t\treturn region->offset - tar->position;", "if (*ret_hole) {\n\t\t\ttar->position = region->offset;\n\t\t\t*ret_hole = false;\n\t\t}"))

# ------------------------------------------------------- tar-header.c, tar-number.c, sparse.c

SUM = "return told == plain || told == with_sign;"

mutant("any-checksum", ("tar-header.c", SUM, "return told >= 0;"))
mutant("checksums-of-unsigned-bytes", ("tar-header.c", SUM, "return told == plain;"))
mutant("no-prefix", ("tar-header.c", "case FORMAT_USTAR: return sizeof(fields->prefix);", "case FORMAT_USTAR: return 0;"))
mutant("a-prefix-in-any-header", ("tar-header.c", "case FORMAT_V7: break;", "case FORMAT_V7: return sizeof(fields->prefix);"))
mutant("a-prefix-where-times-are", ("tar-header.c", "case FORMAT_GNU: return gnu_prefix_size(fields);", "case FORMAT_GNU: return sizeof(fields->prefix);"))
mutant("a-name-of-100-bytes-is-cut", ("tar-header.c", "copy_field(ret->name + n, fields->name, sizeof(fields->name));", "copy_field(ret->name + n, fields->name, sizeof(fields->name) - 1);"))
mutant("numbers-are-octal", ("tar-number.c", "if (field[0] & 0x80)", "if (!size)"))
mutant("base-256-is-positive", ("tar-number.c", "field[0] & 0x40 ? 0xff : 0", "field[0] & 0x40 ? 0 : 0"))
mutant("digits-up-to-9", ("tar-number.c", "field[i] > '7'", "field[i] > '9'"))
mutant("a-space-is-no-filler", ("tar-number.c", "return c == ' ' || c == '\\0';", "return c == '\\0';"))
mutant("times-in-microseconds", ("tar-number.c", "NANOSECOND_DIGITS = 9", "NANOSECOND_DIGITS = 6"))
mutant("any-count-of-regions", ("sparse.c", "return (uint64_t)wanted == sparse->count ? 0 : -EBADMSG;", "return 0;"))

# --------------------------------------------------------------------------------------- pax.c

mutant("a-record-needs-no-newline", ("pax.c", "if (record.text[record.length] != '\\n')", "if (!record.text)"))
mutant("a-record-of-any-length", ("pax.c", "(uint64_t)length > text->length || ", ""), ("pax.c", "record = (struct span){space + 1,", "if ((uint64_t)length > text->length)\n\t\tlength = (int64_t)text->length;\n\trecord = (struct span){space + 1,"))
mutant("a-nul-in-a-path", ("pax.c", "return key.length > 0 && !memchr(checked.text, '\\0', checked.length);", "return key.length > 0;"))
mutant("the-first-record-counts", ("pax.c", "if (is(key, names[i]))", "if (is(key, names[i]) && pax->values[i].length == 0)"))

# ------------------------------------------------------------------------------------ stream.c

mutant("one-gzip-member", ("stream.c", "if (is_gzip(stream)) {\n\t\tgzip_restart", "if (!stream) {\n\t\tgzip_restart"))
mutant("bytes-behind-gzip-are-damage", ("stream.c", "\tstream->ended = true;\n\treturn r;", "\tstream->ended = true;\n\treturn stream->size > 0 ? -EBADMSG : r;"), ("stream.c", "\t\tstream->at = stream->size;\n\t\tr = fill_to(stream, 1);\n\t} while (r == 0 && stream->size > stream->at);", "\t\tr = fill_to(stream, 1);\n\t} while (false);\n\tstream->size -= stream->at;"))
mutant("a-blob-may-be-cut", ("stream.c", "return stream->coding == PLAIN || stream->between ? 0 : -EBADMSG;", "return 0;"))
mutant("checksums-of-gzip-do-not-count", ("gzip-zlib.c", "GZIP_WINDOW = 15 + 16", "GZIP_WINDOW = -15"), ("gzip-zlib.c", "\tstream->avail_in = (uInt)step->in_left;", "\tif (!stream->total_in) {\n\t\tstream->next_in += 10;\n\t\tstep->in_left -= 10;\n\t}\n\tstream->avail_in = (uInt)step->in_left;"))
mutant("no-skippable-frame-first", ("stream.c", " || (magic & SKIPPABLE_MASK) == SKIPPABLE_MAGIC;", ";"))
mutant("windows-of-128-mib", ("stream.c", "ZSTD_d_windowLogMax,\n\t\t\t\t\t\t\t\t STREAM_WINDOW_LOG_MAX", "ZSTD_d_windowLogMax,\n\t\t\t\t\t\t\t\t STREAM_WINDOW_LOG_MAX - 1"))
mutant("windows-of-2-gib", ("stream.c", "ZSTD_d_windowLogMax,\n\t\t\t\t\t\t\t\t STREAM_WINDOW_LOG_MAX", "ZSTD_d_windowLogMax,\n\t\t\t\t\t\t\t\t STREAM_WINDOW_LOG_MAX + 3"))

# ------------------------------------------------------- sift.c, partial.c: what need not be read

PARTIAL_MUTANTS: list[Mutant] = []


def partial_mutant(name: str, *edits: tuple[str, str, str]) -> None:
    PARTIAL_MUTANTS.append(Mutant(name, edits))


partial_mutant("no-link-is-a-parent", ("sift.c", "sift->is_certain = has_all(&sift->directories, path, n);", "sift->is_certain = true;"))
partial_mutant("a-removed-directory-is-certain", ("sift.c", "\tif (!forgets)\n\t\treturn;", "\tif (sift)\n\t\treturn;"))
partial_mutant("a-layers-directories-are-the-next-ones", ("sift.c", "\ttext_set_clear(&sift->directories);\n\tsift->is_looked_up = sift->is_made", "\tsift->is_looked_up = sift->is_made"))
partial_mutant("links-to-what-is-asked-for-do-not-count", ("sift.c", "concerns_target(sift, tree, entry->link));", "false);"))
partial_mutant("parents-do-not-count", ("sift.c", "return parents && must_make(sift, path, n) ?", "return !sift ?"))
partial_mutant("parents-never-count", ("partial.c", "\t\tpartial->parents = true;", "\t\tbreak;"))
partial_mutant("opaque-marks-by-links-do-not-count", ("sift.c", "found = !is_certain(sift, path, n) ||", "found = is_certain(sift, path, n) &&"))
partial_mutant("times-of-directories-by-links-do-not-count", ("sift.c", "sift->turned |= links &&", "sift->turned |= !sift &&"))
partial_mutant("directories-that-links-led-to-do-not-count", ("apply.c", "entry->type == '5' && place.by_link ?", "entry->type == '5' && !apply ?"))
partial_mutant("layers-are-read-once", ("partial.c", "\t\tif (!partial->layers[i].is_whole &&", "\t\tif (!partial->layers[i].is_whole && !partial->layers[i].version &&"))
partial_mutant("names-that-are-new-do-not-count", ("partial.c", "\t\tif (tree->grown)\n", "\t\tif (!tree)\n"))
partial_mutant("layers-below-do-not-count", ("partial.c", "\t\tif (tree->unknown)\n", "\t\tif (!tree)\n"))
partial_mutant("a-directory-hides-what-is-below", ("apply.c", "(tree->names[name].known && !is_directory(tree_file(tree, name)))", "!is_directory(tree_file(tree, name))"))
partial_mutant("what-is-removed-may-be-below", ("tree.c", "\t\tat->known = true;\n", ""))
