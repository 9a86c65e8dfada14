/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Without passthrough the best way depends on what the file is for (measured with 256 MiB files,
 * tests/bench reading): a kernel image that is no ELF file is read whole, once, and is fastest past
 * the page cache, of which it then takes nothing; an ELF kernel and an initrd are mapped by QEMU
 * and are best cached, in requests as large as they come. The two ways, and passthrough, are never
 * mixed on one inode: the kernel refuses that with EIO.
 *
 * One thread. A second one let one reader be 2 to 4 % faster and two at once 16 % (64 MiB each, two
 * processors), and takes 1 MiB more of private memory, 1.2 to 2.2 MB. What it is for is a layer
 * that does not answer: without it whoever reads the other artifact waits as long. But a view has
 * one reader, its container's monitor, which boots when it has read both; other containers' views
 * are other processes. With passthrough nobody waits for this process at all.
 */
#include "fuse/serve/serving.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fuse/base/log.h"
#include "fuse/base/sentences.h"
#include "fuse/serve/passthrough.h"

static bool is_elf(int fd)
{
	char magic[SELFMAG];

	return pread(fd, magic, sizeof(magic), 0) == SELFMAG && memcmp(magic, ELFMAG, SELFMAG) == 0;
}

static void tell_once(struct serving *serving, const char *reason)
{
	if (!serving->told)
		log_info("no passthrough, reading through this process: %s", reason);
	serving->told = true;
}

/* What an errno value of passthrough_register() means, for people. */
static const char *reason(int r)
{
	return r == -ELOOP ? "its layer lies on too many filesystems, one above the other"
			   : strerror(-r);
}

/* Returns: 0, or why the kernel does not pass the artifact through (an errno value). */
static int decide(struct serving *serving, struct artifact *artifact)
{
	int id = -EPERM;

	if (artifact->reading != READ_UNDECIDED)
		return 0;
	if (serving->passthrough) {
		id = passthrough_register(serving->connection, artifact->fd);
		if (id > 0) {
			artifact->reading = READ_PASSTHROUGH;
			artifact->backing_id = id;
			/* The kernel has it open now. */
			artifact->fd = close_keep_errno(artifact->fd);
			return 0;
		}
		tell_once(serving, reason(id));
	} else if (serving->why_not) {
		tell_once(serving, serving->why_not);
	}
	artifact->reading =
		artifact->roles == ROLE_BINARY && !is_elf(artifact->fd) ? READ_DIRECT : READ_CACHED;
	return id;
}

/* Apart: the room for an error would be a page more of the stack of every view that only serves. */
static __attribute__((noinline)) int find(struct serving *serving, struct artifact *artifact)
{
	VIEW_ERROR(error);

	if (artifact_resolve(serving->view, artifact, &error) == 0) {
		decide(serving, artifact);
		return 0;
	}
	artifact_report(artifact, &error);
	return artifact->state == ARTIFACT_MISSING ? -ENOENT : -EIO;
}

int serving_want(struct serving *serving, struct artifact *artifact)
{
	if (artifact->state == ARTIFACT_MISSING)
		return -ENOENT;
	if (artifact->state == ARTIFACT_LOST)
		return -EIO;
	return artifact->reading != READ_UNDECIDED ? 0 : find(serving, artifact);
}

int serving_require_passthrough(struct serving *serving, const char *mountpoint,
				struct view_error *error)
{
	if (!serving->passthrough)
		return view_fail(error, SAY_NO_PASSTHROUGH, mountpoint, serving->why_not);
	/* Nothing falls back: what is wrong is the call's error. */
	serving->told = true;
	for (size_t i = 0; i < serving->view->artifact_count; i++) {
		struct artifact *artifact = &serving->view->artifacts[i];
		int r = artifact->state == ARTIFACT_READY ? decide(serving, artifact) : 0;

		if (r < 0)
			return view_fail(error, SAY_NO_PASSTHROUGH_OF, mountpoint, artifact->path,
					 reason(r));
	}
	return 0;
}
