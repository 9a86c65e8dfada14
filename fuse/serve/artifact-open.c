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
 * that does not answer: without it a reader of the other artifact waits as long. But a view has
 * one reader, its container's monitor, which boots when it has read both; other containers' views
 * are other processes. With passthrough no reader waits for this process.
 */
#include "fuse/serve/artifact-open.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/serve/passthrough.h"
#include "fuse/view/pin.h"

static bool is_elf(int fd)
{
	char magic[SELFMAG];

	return pread(fd, magic, sizeof(magic), 0) == SELFMAG && memcmp(magic, ELFMAG, SELFMAG) == 0;
}

static void tell_once(struct artifact_opener *opener, const char *reason)
{
	if (!opener->told)
		log_info("no passthrough, reading through this process: %s", reason);
	opener->told = true;
}

/* The -errno of passthrough_register() in words. */
static const char *reason(int r)
{
	return r == -ELOOP ? "its layer is on too many stacked filesystems" : strerror(-r);
}

/* A pinned artifact that has changed is missing from now on. Returns: 0, or < 0 with *error*. */
static int artifact_check_pin(struct artifact *artifact, struct view_error *error)
{
	if (artifact_is_as_pinned(artifact))
		return 0;
	artifact->state = ARTIFACT_MISSING;
	artifact->fd = close_keep_errno(artifact->fd);
	return view_fail(error, MSG_PIN_CHANGED, roles_name(artifact->roles), artifact->path);
}

/* Returns: 0, or why the kernel does not pass the artifact through (-errno). */
static int artifact_decide_reading(struct artifact_opener *opener, struct artifact *artifact)
{
	int id = -EPERM;

	if (artifact->reading != READ_UNDECIDED)
		return 0;
	if (opener->passthrough) {
		id = passthrough_register(opener->connection, artifact->fd);
		if (id > 0) {
			artifact->reading = READ_PASSTHROUGH;
			artifact->backing_id = id;
			/* The kernel has it open now. */
			artifact->fd = close_keep_errno(artifact->fd);
			return 0;
		}
		tell_once(opener, reason(id));
	} else if (opener->why_not) {
		tell_once(opener, opener->why_not);
	}
	artifact->reading =
		artifact->roles == ROLE_BINARY && !is_elf(artifact->fd) ? READ_DIRECT : READ_CACHED;
	return id;
}

/* Apart: the room for an error would be a page more of the stack of every view that only serves. */
static __attribute__((noinline)) int artifact_find(struct artifact_opener *opener,
						   struct artifact *artifact)
{
	VIEW_ERROR(error);

	if (artifact_resolve(opener->view, artifact, &error) == 0 &&
	    artifact_check_pin(artifact, &error) == 0) {
		artifact_decide_reading(opener, artifact);
		return 0;
	}
	artifact_report(artifact, &error);
	return artifact->state == ARTIFACT_MISSING ? -ENOENT : -EIO;
}

/* Apart, as artifact_find(). */
static __attribute__((noinline)) void artifact_check_again(struct artifact *artifact)
{
	VIEW_ERROR(error);

	if (artifact_check_pin(artifact, &error) < 0)
		artifact_report(artifact, &error);
}

void artifacts_check_pins(struct artifact_opener *opener)
{
	for (size_t i = 0; i < opener->view->artifact_count; i++)
		if (opener->view->artifacts[i].pinned)
			artifact_check_again(&opener->view->artifacts[i]);
}

int artifact_ensure_open(struct artifact_opener *opener, struct artifact *artifact)
{
	if (artifact->state == ARTIFACT_MISSING)
		return -ENOENT;
	return artifact->reading != READ_UNDECIDED ? 0 : artifact_find(opener, artifact);
}

bool artifacts_pass_through(const struct artifact_opener *opener)
{
	const struct view *view = opener->view;

	for (size_t i = 0; i < view->artifact_count; i++)
		if (view->artifacts[i].reading == READ_CACHED ||
		    view->artifacts[i].reading == READ_DIRECT)
			return false;
	return opener->passthrough;
}

bool artifacts_are_settled(const struct artifact_opener *opener)
{
	for (size_t i = 0; i < opener->view->artifact_count; i++) {
		const struct artifact *artifact = &opener->view->artifacts[i];

		if (artifact->state != ARTIFACT_MISSING && artifact->reading == READ_UNDECIDED)
			return false;
	}
	return true;
}

int artifact_require_passthrough(struct artifact_opener *opener, const char *mountpoint,
				 struct view_error *error)
{
	if (!opener->passthrough)
		return view_fail(error, MSG_NO_PASSTHROUGH, mountpoint, opener->why_not);
	/* Nothing falls back: what is wrong is the call's error. */
	opener->told = true;
	for (size_t i = 0; i < opener->view->artifact_count; i++) {
		struct artifact *artifact = &opener->view->artifacts[i];
		int r;

		if (artifact_check_pin(artifact, error) < 0)
			return -ECANCELED;
		r = artifact->state == ARTIFACT_READY ? artifact_decide_reading(opener, artifact)
						      : 0;

		if (r < 0)
			return view_fail(error, MSG_NO_PASSTHROUGH_OF, mountpoint, artifact->path,
					 reason(r));
	}
	return 0;
}
