/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The phases from the caller's words to a served view. Until the outcome is sent the launcher waits
 * with a time limit, so that no layer and no mount can hang the caller.
 */
#include "fuse/serve/server.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fuse/base/clock.h"
#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/live/claim.h"
#include "fuse/live/proctitle.h"
#include "fuse/live/reuse.h"
#include "fuse/mount/mountpoint.h"
#include "fuse/process/daemonize.h"
#include "fuse/process/fds.h"
#include "fuse/process/memory.h"
#include "fuse/process/sandbox.h"
#include "fuse/process/spawn.h"
#include "fuse/serve/ready-line.h"
#include "fuse/serve/session.h"
#include "fuse/source/source.h"
#include "fuse/view/fingerprint.h"
#include "fuse/view/index-policy.h"
#include "fuse/view/view.h"

/* A view on its way to be served, and what is told of it. */
struct startup {
	const struct server_call *call;
	struct view view;
	char *mountpoint;	 /* absolute, without symlinks; owned */
	int claim;		 /* view_claim(); owned, -EBADF: none */
	struct session *session; /* NULL: a live view is there that is what was asked for */
	struct proctitle title;
	struct view_facts facts; /* what the view says of itself */
	char *ready;		 /* of that live view; owned */
};

static void startup_done(struct startup *startup)
{
	view_done(&startup->view);
	close_keep_errno(startup->claim);
	free(startup->mountpoint);
	free(startup->ready);
}
DEFINE_CLEANUP(struct startup, startup_done)

/* Mounts, and comes back when the kernel has been answered; a mount that fails there is undone. */
static int mount_view(struct startup *startup, struct view_error *error)
{
	const struct view_call *call = &startup->call->view;
	int fd;

	startup->call->progress->mounting = true;
	/*
	 * A kill from here on would leave a mount that no process removes. If the caller is gone,
	 * the attempt to report to it shows that. Nothing below waits for a layer.
	 */
	prctl(PR_SET_PDEATHSIG, 0);
	fd = mountpoint_mount(startup->mountpoint, call->from->source, error);
	if (fd < 0)
		return fd;
	if (session_start(&startup->view, call->options, fd, startup->mountpoint, &startup->session,
			  error) < 0) {
		mountpoint_detach(startup->mountpoint);
		return -ECANCELED;
	}
	return 0;
}

/* Mounts the view, unless it is there already. */
static int mount_or_reuse(struct startup *startup, struct view_error *error)
{
	const struct options *options = startup->call->view.options;
	dev_t live;
	int r;

	startup->title.layers = startup->view.image.layers;
	view_fingerprint(&startup->view, options, startup->facts.fingerprint);
	r = view_claim(startup->mountpoint, &startup->claim, &live, error);
	if (r > 0)
		return reuse_find(startup->mountpoint, startup->claim, options,
				  startup->facts.fingerprint, &startup->ready,
				  &startup->call->progress->served_by, error);
	return r < 0 ? r : mount_view(startup, error);
}

/*
 * passthrough=on can only be promised of files that are known, and a sandbox that is insisted on is
 * put up at once.
 */
static bool resolves_first(const struct options *options)
{
	return options->resolve == RESOLVE_READY || options->passthrough == PASSTHROUGH_ON ||
	       options->sandbox == SANDBOX_REQUIRE;
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
	startup->mountpoint = mountpoint_path(call->mountpoint);
	if (!startup->mountpoint)
		return mountpoint_fail(call->mountpoint, -errno, error);
	r = fds_close(STDERR_FILENO + 1, &startup->call->report_fd, 1);
	return r < 0 ? view_fail(error, MSG_SYSTEM, "close_range", strerror(-r)) : 0;
}

/*
 * What must be known before the mount. Where layers are too many to be held open some would have
 * to be found by their paths again, and the mount may lie on the way: it would wait for itself.
 */
static int resolve_first(struct view *view, const struct options *options, struct view_error *error)
{
	if (resolves_first(options))
		return view_resolve(view, error);
	return image_can_wait(&view->image) ? 0 : view_resolve_early(view, error);
}

/* Everything up to the moment when the view can be used. */
static int start_view(struct startup *startup, struct view_error *error)
{
	cleanup_with(source_done) struct source source = {};
	const struct options *options = startup->call->view.options;

	if (check_sandbox(options, error) < 0 || read_call(startup, &source, error) < 0 ||
	    view_prepare(options, &source, true, &startup->view, error) < 0 ||
	    resolve_first(&startup->view, options, error) < 0)
		return -ECANCELED;
	return mount_or_reuse(startup, error);
}

/* Fills in what the view says of itself from now on. */
static void collect_facts(struct startup *startup)
{
	const struct view_call *call = &startup->call->view;
	struct view_facts *facts = &startup->facts;

	facts->view = &startup->view;
	facts->id = call->options->id;
	facts->mountpoint = startup->mountpoint;
	facts->elapsed_us = now_us() - call->start_us;
	facts->connection = minor(startup->title.device);
	facts->version = VIEWFS_VERSION;
	facts->pid = getpid();
	facts->owner = getuid();
	session_tell(startup->session, facts);
}

/*
 * Describes the view to its caller (*ret_ready*, owned), and in the title to all other processes:
 * a process that waits for the claim finds the title.
 */
static int publish(struct startup *startup, char **ret_ready, struct view_error *error)
{
	int r = mountpoint_device(startup->mountpoint, &startup->title.device);

	if (r < 0)
		return mountpoint_fail(startup->mountpoint, r, error);
	collect_facts(startup);
	*ret_ready = report_ready_line(&startup->facts);
	if (!*ret_ready)
		return view_fail(error, MSG_NO_MEMORY);
	proctitle_set(*ret_ready, &startup->title);
	startup->claim = close_keep_errno(startup->claim);
	return 0;
}

/* Tells the launcher, as the last thing before the caller is on its own. */
static int notify_ready(struct startup *startup, struct view_error *error)
{
	const struct server_call *call = startup->call;
	cleanup_free char *ready = NULL;
	int r;

	if (publish(startup, &ready, error) < 0)
		return -ECANCELED;
	r = daemonize_detach(call->view.foreground);
	if (r < 0)
		return view_fail(error, MSG_SYSTEM, "/dev/null", strerror(-r));
	if (!call->view.foreground)
		log_to_syslog();
	/* A view outlives its caller, but for one who stays in the foreground. */
	if (call->view.foreground)
		prctl(PR_SET_PDEATHSIG, SIGTERM);
	r = report_send(call->report_fd, error, ready);
	return r < 0 ? view_fail(error, MSG_SYSTEM, "launcher", strerror(-r)) : 0;
}

/* Tells the launcher of the live view that was found. Returns: the exit status. */
static int announce_found(const struct startup *startup, const struct view_error *error)
{
	report_send(startup->call->report_fd, error, startup->ready);
	return 0;
}

/* Now that it is known what the view holds, and how that is read. */
static void update_title(struct startup *startup)
{
	cleanup_free char *ready = NULL;

	session_tell(startup->session, &startup->facts);
	ready = report_ready_line(&startup->facts);

	if (ready)
		proctitle_set(ready, &startup->title);
}

/* Serves; what the start took and serving does not need is given back as soon as it can be. */
static int serve(struct startup *startup)
{
	const struct server_call *call = startup->call;
	bool insist = call->view.options->sandbox == SANDBOX_REQUIRE;
	unsigned sandboxed;
	int r;

	spawn_yield();
	r = session_serve_startup(startup->session, call->report_fd);
	close(call->report_fd);
	/* The launcher has gone, or has a mapping of its own. */
	munmap(call->progress, sizeof(*call->progress));
	if (r > 0)
		r = session_serve_first(startup->session);
	index_policy_publish(startup->view.image.stack);
	view_release_layers(&startup->view);
	if (r <= 0)
		return r;
	update_title(startup);
	if (call->argv_top)
		memory_release_below(call->argv_top);
	memory_release_heap();
	memory_release_stack();
	/* What could be had could not be done: no memory, say. */
	sandboxed = session_sandbox(startup->session);
	if (sandboxed != SANDBOX_ALL && insist)
		return -EPERM;
	startup->facts.sandboxed = sandboxed;
	proctitle_sandboxed(sandboxed);
	return session_serve(startup->session);
}

int server_run(const struct server_call *call)
{
	cleanup_with(startup_done) struct startup startup = {.call = call, .claim = -EBADF};
	/* Not on the stack, of which a page of every view's memory would be left. */
	static struct view_error error;
	int r;

	setsid();
	r = start_view(&startup, &error);
	if (r == 0 && startup.ready)
		return announce_found(&startup, &error);
	if (r == 0) {
		r = notify_ready(&startup, &error);
		if (r < 0)
			mountpoint_detach(startup.mountpoint);
	}
	if (r < 0) {
		report_send(call->report_fd, &error, NULL);
		return view_code_exit(error.code);
	}
	return serve(&startup) < 0 ? view_code_exit(CODE_ESYSTEM) : 0;
}
