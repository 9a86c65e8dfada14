/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The phases from the caller's words to a served view. Until the outcome is sent the launcher waits
 * with a time limit, so that no layer and no mount can hang the caller.
 */
#include "fuse/serve/server.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fuse/base/clock.h"
#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/live/claim.h"
#include "fuse/live/reuse.h"
#include "fuse/mount/mountpoint.h"
#include "fuse/mount/view-mount.h"
#include "fuse/process/daemonize.h"
#include "fuse/process/fds.h"
#include "fuse/process/inherited.h"
#include "fuse/process/pass-fd.h"
#include "fuse/process/sandbox.h"
#include "fuse/serve/ready-line.h"
#include "fuse/serve/serve-view.h"
#include "fuse/serve/session.h"
#include "fuse/source/source.h"
#include "fuse/view/fingerprint.h"
#include "fuse/view/ingest.h"
#include "fuse/view/pin.h"
#include "fuse/view/view.h"

/* A view on its way to be served, and what is told of it. */
struct startup {
	const struct server_call *call;
	struct view view;
	char *mountpoint; /* absolute, without symlinks; owned */
	struct claim claim;
	int detached;		 /* the root of a mount that is handed over; owned, or -EBADF */
	struct session *session; /* NULL: a live view is there that is what was asked for */
	dev_t device;		 /* of the mount */
	struct view_facts facts; /* what the view says of itself */
	char *ready;		 /* of that live view; owned */
};

static void startup_done(struct startup *startup)
{
	view_done(&startup->view);
	claim_done(&startup->claim);
	close_keep_errno(startup->detached);
	free(startup->mountpoint);
	free(startup->ready);
}
DEFINE_CLEANUP(struct startup, startup_done)

/*
 * Without a supervisor this process is not to be killed with the launcher any more, with a mount
 * that no process would remove: that the caller is gone shows when it is told. Nothing that is done
 * until then waits for a layer.
 */
static void outlive_launcher(const struct startup *startup)
{
	if (!startup->call->view.supervised)
		prctl(PR_SET_PDEATHSIG, 0);
}

/* Makes the mount, and attaches it when it can serve. Returns: as view_mount_attach(). */
static int mount_view(struct startup *startup, struct view_error *error)
{
	cleanup_with(view_mount_done) struct view_mount mount = VIEW_MOUNT_INIT;
	const struct view_call *call = &startup->call->view;
	struct progress *progress = startup->call->progress;
	const char *path = startup->mountpoint;
	int r = view_mount_make(path, call->from->source, &mount, error);

	if (r == -EPERM && call->detached)
		return view_fail(error, MSG_PASS_PRIVILEGE);
	if (r == -EPERM) {
		outlive_launcher(startup);
		progress->mounting = true;
		r = view_mount_by_fusermount(path, call->from->source, &mount, error);
	}
	if (r < 0)
		return -ECANCELED;
	mount.detached = call->detached;
	/* A mount that is nowhere ends with its descriptors. */
	if (!call->detached)
		progress->mount = mount.identity;
	startup->device = mount.identity.device;
	if (session_start(&startup->view, call->options, &mount, path, &startup->session, error) <
	    0)
		return -ECANCELED;
	outlive_launcher(startup);
	if (call->detached) {
		startup->detached = TAKE_FD(mount.root);
		return 0;
	}
	return view_mount_attach(&mount, path, startup->claim.place, error);
}

/* The view that is there, if it is the one that was asked for. Returns: as reuse_find(). */
static int reuse(struct startup *startup, struct view_error *error)
{
	const struct view_call *call = &startup->call->view;
	struct progress *progress = startup->call->progress;
	char fingerprint[FINGERPRINT_SIZE];
	struct mount_identity identity;
	int r;

	view_fingerprint(&startup->view, call->options, fingerprint);
	r = reuse_find(startup->mountpoint, startup->claim.live, call->options, fingerprint,
		       &startup->ready, &progress->served_by, error);
	if (r < 0)
		return r;
	if (call->supervised && !progress->served_by)
		return view_fail(error, MSG_NOT_WATCHED, "its process cannot be seen from here");
	r = mount_identify(startup->claim.live, &identity);
	if (r < 0)
		return mountpoint_fail(startup->mountpoint, r, error);
	progress->found = true;
	progress->mount = identity;
	return 0;
}

/*
 * Mounts the view, unless it is there already. *ground* is the mount that an earlier attempt found
 * the place on, or 0. Returns: 0; -EAGAIN; or < 0 with *error*: what was mounted there since is no
 * view of another call.
 */
static int mount_or_reuse_once(struct startup *startup, uint64_t *ground, struct view_error *error)
{
	int r = view_claim(startup->mountpoint, &startup->claim, error);

	if (r < 0)
		return r;
	if (r > 0)
		return reuse(startup, error);
	if (*ground && *ground != startup->claim.opened.stx_mnt_id)
		return view_fail(error, MSG_MOUNTPOINT_CHANGED, startup->mountpoint);
	*ground = startup->claim.opened.stx_mnt_id;
	return mount_view(startup, error);
}

/*
 * The same, again as long as other calls are faster: the view of one may be the one that is wanted,
 * or go again.
 */
static int mount_or_reuse(struct startup *startup, struct view_error *error)
{
	enum { ATTEMPTS = 20 };
	uint64_t ground = 0;

	if (startup->call->view.detached)
		return mount_view(startup, error);
	for (int i = 0; i < ATTEMPTS; i++) {
		int r = mount_or_reuse_once(startup, &ground, error);

		if (r != -EAGAIN)
			return r;
		if (startup->session)
			session_end(TAKE_PTR(startup->session));
		startup->call->progress->mount = (struct mount_identity){};
		claim_done(&startup->claim);
		startup->claim = CLAIM_INIT;
	}
	return view_fail(error, MSG_MOUNTPOINT_CHANGED, startup->mountpoint);
}

/* Whether what is insisted on can be had is known before anything is done. */
static int check_sandbox(const struct options *options, struct view_error *error)
{
	unsigned missing;

	if (options->sandbox != SANDBOX_REQUIRE)
		return 0;
	missing = SANDBOX_ALL & ~sandbox_possible();
	for (unsigned i = 0; i < SANDBOX_COUNT; i++)
		if (missing & 1U << i)
			return view_fail(error, MSG_NO_SANDBOX, sandbox_names[i], sandbox_lack(i));
	return 0;
}

/* All but where the outcome goes, what *source* holds, and the place. Returns: 0 or -errno. */
static int close_callers_fds(const struct startup *startup, const struct source *source)
{
	enum { OWN = 4 };
	cleanup_free int *keep = malloc((source->fd_count + OWN) * sizeof(*keep));

	if (!keep)
		return -ENOMEM;
	keep[0] = startup->call->report_fd;
	keep[1] = startup->call->pass_fd;
	keep[2] = source->overlay.root;
	keep[3] = startup->claim.place;
	for (size_t i = 0; i < source->fd_count; i++)
		keep[i + OWN] = source->fds[i];
	return fds_close(STDERR_FILENO + 1, keep, source->fd_count + OWN);
}

/*
 * What only the owner of another user's dead view is told must be asked before anything of the
 * image is read, and with it the capabilities for that go.
 */
static void clear_mountpoint(struct startup *startup)
{
	const struct view_call *call = &startup->call->view;

	startup->mountpoint = call->detached ? strdup("-") : mountpoint_path(call->mountpoint);
	if (startup->mountpoint && !call->detached)
		claim_prepare(startup->mountpoint, &startup->claim);
	sandbox_early(false);
}

/*
 * From the caller's words to the layers: after this nothing of the caller's is needed any more but
 * the directories themselves.
 */
static int read_call(struct startup *startup, struct source *source, struct view_error *error)
{
	const struct view_call *call = &startup->call->view;
	struct options *options = call->options;
	int r;

	if (source_find(call->from, &options->overlay, options->basedir, source, error) < 0)
		return -ECANCELED;
	if (!options->id && source->container) {
		options->id = TAKE_PTR(source->container);
		log_set_id(options->id);
	}
	if (!startup->mountpoint)
		startup->mountpoint = mountpoint_path(call->mountpoint);
	if (!startup->mountpoint)
		return mountpoint_fail(call->mountpoint, -errno, error);
	if (call->supervised)
		snprintf(startup->call->progress->mountpoint, PATH_MAX, "%s", startup->mountpoint);
	r = close_callers_fds(startup, source);
	return r < 0 ? view_fail(error, MSG_SYSTEM, "close_range", strerror(-r)) : 0;
}

/*
 * What must be known before the mount: everything, if it is asked for, if passthrough=on or
 * survive=on is promised, if the sandbox is insisted on, or if an artifact is pinned. Where layers
 * are too many to be held open some would have to be found by their paths again, and the mount may
 * lie on the way: it would wait for itself.
 */
static int resolve_first(struct view *view, const struct options *options,
			 const struct source *source, struct view_error *error)
{
	if (source->resolve_ready || options->resolve == RESOLVE_READY ||
	    options->passthrough == PASSTHROUGH_ON || options->sandbox == SANDBOX_REQUIRE ||
	    options->survive == SURVIVE_ON || view_is_pinned(options)) {
		int r = view_resolve(view, source, error);

		return r < 0 ? r : view_check_pins(view, options, error);
	}
	return image_can_wait(&view->image) ? 0 : view_resolve_early(view, error);
}

/* Makes the view of what is there, or of what is added to the store first. */
static int prepare_view(struct startup *startup, struct source *source, struct view_error *error)
{
	const struct view_call *call = &startup->call->view;
	cleanup_with(ingest_done) struct ingest ingest =
		INGEST_OF(call->options, call->start_us, call->terminal);
	int r;

	do {
		r = view_prepare(call->options, source, true, call->start_us, &startup->view,
				 error);
		if (r == 0)
			r = resolve_first(&startup->view, call->options, source, error);
	} while (r == IMAGE_MISS && ingest_again(&ingest, source, &startup->view, error));
	return r;
}

/* Everything up to the moment when the view can be used. */
static int start_view(struct startup *startup, struct view_error *error)
{
	cleanup_with(source_done) struct source source = SOURCE_INIT;
	const struct view_call *call = &startup->call->view;

	if (check_sandbox(call->options, error) < 0 || read_call(startup, &source, error) < 0 ||
	    prepare_view(startup, &source, error) < 0)
		return -ECANCELED;
	/* From now on there may be requests, and they do not wait for a fault to pass. */
	startup->view.image.retry = (struct retry){};
	return mount_or_reuse(startup, error);
}

/* Fills in what the view says of itself from now on. */
static void collect_facts(struct startup *startup)
{
	const struct view_call *call = &startup->call->view;
	struct view_facts *facts = &startup->facts;

	facts->view = &startup->view;
	facts->options = call->options;
	facts->id = call->options->id;
	facts->mountpoint = startup->call->view.detached ? NULL : startup->mountpoint;
	facts->elapsed_us = now_us() - call->start_us;
	facts->connection = minor(startup->device);
	facts->version = VIEWFS_VERSION;
	facts->pid = getpid();
	facts->owner = getuid();
	facts->shall_survive = call->options->survive == SURVIVE_ON;
	facts->survives = facts->shall_survive && session_can_survive(startup->session) &&
			  sandbox_possible() == SANDBOX_ALL;
	session_tell(startup->session, facts);
}

/*
 * Describes the view to its caller (*ret_ready*, owned), and in the title to all other processes:
 * a process that waits for the claim finds the title.
 */
static int publish(struct startup *startup, char **ret_ready, struct view_error *error)
{
	collect_facts(startup);
	*ret_ready = report_ready_line(&startup->facts);
	if (!*ret_ready)
		return view_fail(error, MSG_NO_MEMORY);
	served_show_title(&startup->facts, *ret_ready);
	claim_done(&startup->claim);
	return 0;
}

/*
 * Leaves the caller, only now that the mountpoint is not looked at any more: autofs lets pass the
 * process group that it started, and makes all others wait for the mount. What else the server has
 * of it, the launcher's pipe in the place of stdout and stderr, keeps no caller waiting.
 */
static int leave_caller(const struct view_call *call)
{
	int r;

	setsid();
	r = daemonize_detach();
	if (r == 0 && !call->keep_stderr)
		log_to_syslog();
	return r;
}

/* Sends the launcher a detached mount, and keeps none of it. Returns: 0 or -errno. */
static int hand_over(struct startup *startup)
{
	int fd = startup->call->pass_fd;
	ssize_t n;

	if (!startup->call->view.detached)
		return 0;
	n = pass_fd_send(fd, (char[]){'m'}, 1, startup->detached);
	startup->detached = close_keep_errno(startup->detached);
	close(fd);
	return n < 0 ? (int)n : 0;
}

/* Tells the launcher, as the last thing before the caller is on its own. */
static int notify_ready(struct startup *startup, struct view_error *error)
{
	const struct server_call *call = startup->call;
	cleanup_free char *ready = NULL;
	int r;

	if (publish(startup, &ready, error) < 0)
		return -ECANCELED;
	r = leave_caller(&call->view);
	if (r < 0)
		return view_fail(error, MSG_SYSTEM, "/dev/null", strerror(-r));
	r = hand_over(startup);
	if (r == 0)
		r = report_send(call->report_fd, error, ready);
	return r < 0 ? view_fail(error, MSG_SYSTEM, "launcher", strerror(-r)) : 0;
}

static int server_run(const struct server_call *call)
{
	cleanup_with(startup_done) struct startup startup = {
		.call = call,
		.claim = CLAIM_INIT,
		.detached = -EBADF,
	};
	/* Not on the stack, of which a page of every view's memory would be left. */
	static struct view_error error;
	int r;

	clear_mountpoint(&startup);
	r = start_view(&startup, &error);
	if (r == 0 && startup.ready) {
		/* As long as the live view is open here it cannot be unmounted. */
		claim_done(&startup.claim);
		report_send(call->report_fd, &error, startup.ready);
		return 0;
	}
	if (r == 0)
		r = notify_ready(&startup, &error);
	if (r < 0) {
		progress_undo(call->progress, startup.mountpoint, true);
		claim_done(&startup.claim);
		report_send(call->report_fd, &error, NULL);
		return view_code_exit(error.code);
	}
	return serve_view(&(struct served){startup.session, &startup.view, &startup.facts}, call);
}

/*
 * A process that waits for a layer may not even be killed. A caller that reads to the end of
 * stdout, stderr or where it is told of the outcome must not wait for it.
 */
static void leave_output(const struct server_call *call)
{
	dup2(call->log_fd, STDOUT_FILENO);
	dup2(call->log_fd, STDERR_FILENO);
	close(call->log_fd);
	for (int i = 0; i < TOLD_FDS; i++)
		if (call->told_fds[i] > STDERR_FILENO)
			close(call->told_fds[i]);
}

int server_start(void *argument)
{
	const struct server_call *call = argument;
	pid_t parent;

	/* A caller that is killed while it waits wants no view. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	parent = getppid();
	/* 0: it is in another PID namespace than its children (unshare -p). */
	if (parent != call->parent && parent != 0)
		return 0;
	/* In the caller's process group still, whose INT is the launcher's to act on. */
	signals_of_server(false);
	leave_output(call);
	/* No reader of stderr keeps a view waiting, not before the sandbox and not later. */
	log_wait_until(1);
	return server_run(call);
}
