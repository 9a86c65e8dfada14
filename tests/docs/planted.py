# SPDX-License-Identifier: Apache-2.0
"""Faults that break a promise of promises.toml, for tests/docs/plant: each replaces a text of the source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    document: str
    promise: str  # a key of the document's table in promises.toml
    file: str
    old: str
    new: str


VIEW = "packaging/man/urunc-viewfs.8.scd"
CTL = "packaging/man/viewfsctl.8.scd"
HELPER = "packaging/man/mount.urunc-viewfs.8.scd"
INDEX = "packaging/man/urunc-viewfs-index.5.scd"
STORE = "packaging/man/urunc-viewfs-store.5.scd"
SHIM = "packaging/containerd/README.md"

FAULTS = [
    Fault(VIEW, "The view is always read-only, and mounted ro,nosuid,nodev,noexec",
          "fuse/mount/mount-api.c", "MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |", "MOUNT_ATTR_NOSUID |"),
    Fault(VIEW, "The view makes up the directories above an artifact",
          "fuse/view/view.c", "S_IFDIR | 0555", "S_IFDIR | 0755"),
    Fault(VIEW, "Force the artifacts' owner, group or permission bits; write bits are masked",
          "fuse/view/view.c", "S_IFREG | (mode & ~0222U)", "S_IFREG | mode"),
    Fault(VIEW, "The configuration is urunc's own: the bundle's annotations if they hold",
          "fuse/view/urunc-config.c", "if (i <= KEY_BINARY && (!values[i]", "if (i < 1 && (!values[i]"),
    Fault(VIEW, "error, warn, info (the default) or debug",
          "fuse/base/log.c", "level > logger.options.level)", "level > logger.options.level + 1)"),
    Fault(VIEW, "for lines as logrus writes them",
          "fuse/base/log.c", r'\"msg\":', r'\"message\":'),
    Fault(VIEW, "Keys may be written as in Go or in lower case",
          "fuse/source/containerd-mounts.c", "if (strcasecmp(key, name) != 0)", "if (strcmp(key, name) != 0)"),
    Fault(VIEW, "must be base64 (strict, the default, as in urunc), or may also be plain text or have the prefix b64:",
          "fuse/base/base64.c", "if (digits % 4 == 1)\n\t\treturn -EINVAL;", ""),
    Fault(VIEW, "Any other option is rejected by name, with the known option that resembles it most",
          "fuse/base/words.c", "distance < nearest->distance &&", "distance == 0 &&"),
    Fault(VIEW, "Map owners as containerd does",
          "fuse/cli/idmap.c", "return range->host + (id - range->container);", "return range->host;"),
    Fault(VIEW, "In text without --ready-fd= it is printed at every level",
          "fuse/serve/launcher.c", "code == CODE_ENOTAPPLICABLE && quiet", "code == CODE_ENOTAPPLICABLE"),
    Fault(VIEW, "the permission bits grant no process more than the ACL",
          "fuse/source/acl.c", "case TAG_GROUP_OWNER: grants->group &= permissions; return 0;", "case TAG_GROUP_OWNER: return 0;"),
    Fault(VIEW, "until 64 requests were served or 60 seconds have passed; then it is missing",
          "fuse/base/retry.c", "\tcase -EMFILE:\n", ""),
    Fault(HELPER, "Check the mount options, but do not mount",
          "fuse/mount-helper.c", "if (mnt_context_is_fake(call->context))", "if (false)"),
    Fault(CTL, "Only print what would be removed",
          "fuse/ctl/gc.c", "dry_run ? 0 : views_end(endings, n)", "views_end(endings, n)"),
    Fault(CTL, "For umount and gc: a view could not be removed",
          "fuse/ctl/umount.c", "return failed;", "return 0;"),
    Fault(CTL, "the output has no colours",
          "fuse/ctl/table.c", "!(no_colour && *no_colour) && isatty(STDOUT_FILENO)", "isatty(STDOUT_FILENO)"),
    Fault(CTL, "List the entries, most recently used first",
          "fuse/ctl/index-entries.c", "one->used.tv_sec > other->used.tv_sec ? -1 : 1", "one->used.tv_sec > other->used.tv_sec ? 1 : -1"),
    Fault(INDEX, "A view uses the index of its user if it has at least 32 layers",
          "fuse/view/index-policy.c", "layers->count >= INDEX_LAYERS_MIN", "layers->count >= INDEX_LAYERS_MIN / 2"),
    Fault(INDEX, "no other user may have write permission",
          "layerindex/index/index.c", "st->st_uid == geteuid() && !(st->st_mode & (S_IWGRP | S_IWOTH))", "st->st_uid == geteuid()"),
    Fault(INDEX, "Any changed byte makes the checksum wrong",
          "layerindex/index/facts-file.c", "if (le_get64(&reader) != checksum(reader.at, n))", "if (le_get64(&reader) == 0 && checksum(reader.at, n))"),
    Fault("README.md", "the kernel may cache every answer without a time limit",
          "fuse/serve/operations.c", "#define FOREVER UINT64_C(1000000000000000)", "#define FOREVER 0"),
    Fault("README.md", "For automount(8) a map has a line like this one",
          "fuse/serve/server.c", "\tleave_output(call);", "\tsetsid();\n\tleave_output(call);"),
    Fault("README.md", "The exit status is mount(8)'s",
          "fuse/base/error.c", '{"ESYSTEM", 2}', '{"ESYSTEM", 32}'),
    Fault("README.md", "Another live view at the mountpoint is EMOUNT",
          "fuse/live/reuse.c", "if (strcmp(reuse->answer.fingerprint, reuse->fingerprint) != 0)", "if (!*reuse->fingerprint)"),
    Fault("README.md", "A stack has at most 4096 layers, urunc.json at most 1 MiB, and a path at most 40 symbolic links",
          "layerindex/merge/stack-open.c", "if (n > LI_LAYERS_MAX)", "if (n > 2 * LI_LAYERS_MAX)"),
    Fault("SECURITY.md", "Any other call ends the process (SIGSYS)",
          "fuse/process/sandbox.c", "#define REFUSED SECCOMP_RET_KILL_PROCESS", "#define REFUSED (SECCOMP_RET_ERRNO | 1)"),
    Fault("SECURITY.md", "No process can prevent the sandbox by sending requests",
          "fuse/serve/session.c", "FIRST_MAX = 64,", "FIRST_MAX = 1 << 30,"),
    Fault("SECURITY.md", "root without privilege may not read its memory",
          "fuse/process/sandbox.c", "prctl(PR_SET_DUMPABLE, 0,", "prctl(PR_SET_DUMPABLE, 1,"),
    Fault("SECURITY.md", "the mount fails before anything is mounted, and names what is missing",
          "fuse/serve/server.c", "if (options->sandbox != SANDBOX_REQUIRE)\n\t\treturn 0;", "if (options)\n\t\treturn 0;"),
    Fault("SECURITY.md", "no other user may have access to them",
          "layerindex/store/store.c", "return store_is_ours(&st, S_IFDIR, 0700) ? TAKE_FD(fd) : -EPERM;", "return TAKE_FD(fd);"),
    Fault(STORE, "A tenth of the filesystem stays free",
          "layerindex/store/store-evict.c", "fs.f_blocks / FREE_PART", "fs.f_blocks / (100 * FREE_PART)"),
    Fault(SHIM, "The daemon has a session of its own",
          "fuse/serve/server.c", "\tsetsid();\n", ""),
]  # fmt: skip
