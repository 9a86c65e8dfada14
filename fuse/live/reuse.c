/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/live/reuse.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "fuse/base/clock.h"
#include "fuse/base/json.h"
#include "fuse/base/messages.h"
#include "fuse/live/ask.h"
#include "fuse/live/view-answer.h"
#include "fuse/live/view-process.h"
#include "fuse/mount/mountinfo.h"
#include "fuse/mount/mountpoint.h"
#include "fuse/process/sandbox.h"

enum {
	PATIENCE_US = 5000000, /* a view that another call just mounted may wait for a processor */
	PROCESS_US = 2000000,
	PAUSE_MS = 5,
};

/* Whether a view is what was asked for. NOT_YET: it is not known as long as it has not settled. */
enum match { IS_OTHER, IS_SAME, NOT_YET };

/* What was looked up, and found. */
struct reuse {
	const struct options *options;
	const char *fingerprint;
	struct question question;
	struct view_answer answer;
};

static void reuse_done(struct reuse *reuse)
{
	view_answer_done(&reuse->answer);
	free(reuse->question.answer);
}
DEFINE_CLEANUP(struct reuse, reuse_done)

/* How long a view may keep the call waiting, which has other things to do. */
static uint64_t patience_us(const struct options *options)
{
	/* A call may ask twice, and must have time to say that no answer came. */
	uint64_t third_us = options->timeout * UINT64_C(1000000) / 3;

	return third_us < PATIENCE_US ? third_us : PATIENCE_US;
}

/* Asks the view. Returns: 0 or -errno. */
static int reuse_ask(struct reuse *reuse, uint64_t deadline_us)
{
	struct question *question = &reuse->question;
	int r;

	view_answer_done(&reuse->answer);
	free(TAKE_PTR(question->answer));
	r = ask_all(question, 1, deadline_us);
	if (r == 0)
		r = question->result;
	if (r == 0)
		r = view_answer_parse(question->answer, question->length, &reuse->answer);
	return r;
}

static struct json_object *member(const struct reuse *reuse, const char *key)
{
	return json_object_object_get(reuse->answer.ready, key);
}

/* Whether "config+binary" has the role "binary". */
static bool has_role(const char *roles, const char *role)
{
	size_t n = strlen(role);

	for (; *roles; roles += strcspn(roles, "+"), roles += *roles == '+')
		if (strncmp(roles, role, n) == 0 && (!roles[n] || roles[n] == '+'))
			return true;
	return false;
}

/* Whether the view tells that its artifact of a role has this digest. */
static bool has_digest(const struct reuse *reuse, const char *role, const struct li_digest *digest)
{
	struct json_object *artifacts = member(reuse, "artifacts");
	char wanted[DIGEST_TEXT_SIZE];

	digest_print(digest, wanted);
	for (size_t i = 0; artifacts && i < json_object_array_length(artifacts); i++) {
		struct json_object *artifact = json_object_array_get_idx(artifacts, i);
		const char *roles = json_string(artifact, "role");
		const char *found = json_string(artifact, "digest");

		if (roles && found && has_role(roles, role))
			return strcmp(found, wanted) == 0;
	}
	return false;
}

static bool has_pins(const struct reuse *reuse)
{
	static const char names[PINS][8] = {
		[PIN_CONFIG] = NAME_CONFIG,
		[PIN_BINARY] = NAME_BINARY,
		[PIN_INITRD] = NAME_INITRD,
	};
	const struct digest_wish *pins = reuse->options->pins;

	for (int i = 0; i < PINS; i++)
		if (pins[i].given && !has_digest(reuse, names[i], &pins[i].digest))
			return false;
	return true;
}

/* Whether what the options insist on holds of the view. */
static enum match compare_promises(const struct reuse *reuse)
{
	const struct options *options = reuse->options;
	bool sandbox = options->sandbox == SANDBOX_REQUIRE;
	bool passthrough = options->passthrough == PASSTHROUGH_ON;
	bool survive = options->survive == SURVIVE_ON;

	if (sandbox || passthrough || survive || options->resolve == RESOLVE_READY) {
		if (!member(reuse, "artifacts"))
			return NOT_YET;
		if (member(reuse, "missing"))
			return IS_OTHER;
	}
	if (!has_pins(reuse))
		return IS_OTHER;
	if (passthrough && !json_object_get_boolean(member(reuse, "passthrough")))
		return IS_OTHER;
	if (survive && !json_object_get_boolean(member(reuse, "survives")))
		return IS_OTHER;
	if (sandbox && !reuse->answer.sandboxed)
		return NOT_YET;
	return sandbox && reuse->answer.sandboxed != SANDBOX_ALL ? IS_OTHER : IS_SAME;
}

static enum match compare(const struct reuse *reuse)
{
	if (strcmp(reuse->answer.fingerprint, reuse->fingerprint) != 0)
		return IS_OTHER;
	return compare_promises(reuse);
}

/* Asks until the answer decides it. Returns: enum match, or -errno. */
static int reuse_decide(struct reuse *reuse)
{
	uint64_t deadline_us = now_us() + patience_us(reuse->options);

	for (;;) {
		int r = reuse_ask(reuse, deadline_us);

		if (r == 0)
			r = (int)compare(reuse);
		if ((r != NOT_YET && r != -ETIMEDOUT) || now_us() > deadline_us)
			return r;
		poll(NULL, 0, PAUSE_MS);
	}
}

/*
 * Whose view it is. Returns: > 0: root's or the caller's; 0: a stranger's; -ENOTCONN: it is mounted
 * there no longer; or -errno.
 */
static int is_trusted(int live, dev_t *ret_device)
{
	cleanup_free char *line = NULL;
	struct mount_entry mount;
	uid_t owner;
	gid_t group;
	int r = mountinfo_find(live, &mount, &line);

	if (r <= 0)
		return r < 0 ? r : -ENOTCONN;
	*ret_device = mount.device;
	return mount_entry_owner(mount.super, &owner, &group) == 0 &&
	       (owner == 0 || owner == geteuid());
}

/*
 * The process that a view named, if it is one that serves it, or stands by, as far as can be seen;
 * else 0.
 */
static pid_t known_process(const struct view_answer *answer, dev_t device)
{
	pid_t pid = answer->standby ? answer->standby : answer->pid;
	cleanup_close int pidfd = pid ? view_process_open(pid, device) : -ESRCH;

	return pidfd < 0 ? 0 : pid;
}

pid_t reuse_process(int live, dev_t device)
{
	cleanup_with(reuse_done) struct reuse reuse = {.question = {.fd = live}};
	uint64_t deadline_us = now_us() + PROCESS_US;
	pid_t pid = 0;

	/* The last answer of a process that is about to be killed names one that is gone. */
	while (pid == 0 && now_us() < deadline_us && reuse_ask(&reuse, deadline_us) == 0) {
		pid = known_process(&reuse.answer, device);
		if (pid == 0)
			poll(NULL, 0, PAUSE_MS);
	}
	return pid;
}

int reuse_find(const char *path, int live, const struct options *options, const char *fingerprint,
	       char **ret_ready, pid_t *ret_pid, struct view_error *error)
{
	cleanup_with(reuse_done) struct reuse reuse = {
		.options = options,
		.fingerprint = fingerprint,
		.question = {.fd = live},
	};
	dev_t device;
	int r = is_trusted(live, &device);

	if (r > 0) {
		r = reuse_decide(&reuse);
		if (r == -ETIMEDOUT)
			return view_fail(error, MSG_VIEW_HANGS, path);
	}
	if (r == -ENOTCONN)
		return -EAGAIN;
	if (r < 0 && is_resource_error(r))
		return mountpoint_fail(path, r, error);
	if (r != IS_SAME)
		return view_fail(error, MSG_LIVE_VIEW, path);
	*ret_ready = json_line(reuse.answer.ready);
	*ret_pid = known_process(&reuse.answer, device);
	return *ret_ready ? 0 : view_fail(error, MSG_NO_MEMORY);
}
