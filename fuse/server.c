/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The phases from the caller's words to a served view. Until the outcome is sent the launcher waits
 * with a time limit, so that no layer and no mount can hang the caller.
 */
#include "fuse/server.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fuse/background.h"
#include "fuse/cache.h"
#include "fuse/log.h"
#include "fuse/memory.h"
#include "fuse/mountpoint.h"
#include "fuse/prepare.h"
#include "fuse/report.h"
#include "fuse/sentences.h"
#include "fuse/session.h"
#include "fuse/source.h"
#include "fuse/spawn.h"
#include "fuse/view.h"

/* Mounts, and comes back when the kernel has been answered; a mount that fails there is undone. */
static int mount_view(struct view *view, const struct arguments *arguments, const char *mountpoint,
		      int report_fd, struct session **ret, struct view_error *error)
{
	int fd;

	if (mountpoint_clear(mountpoint, error) < 0)
		return -ECANCELED;
	report_mounting(report_fd);
	/*
	 * Not to be killed from here on, with a mount that nobody would remove: that the caller is
	 * gone shows when it is to be told. Nothing below waits for a layer.
	 */
	prctl(PR_SET_PDEATHSIG, 0);
	fd = mountpoint_mount(mountpoint, arguments->source, error);
	if (fd < 0)
		return fd;
	if (session_start(view, &arguments->options, fd, mountpoint, ret, error) < 0) {
		mountpoint_detach(mountpoint);
		return -ECANCELED;
	}
	return 0;
}

/* passthrough=on can only be promised of files that are known. */
static bool resolves_first(const struct options *options)
{
	return options->resolve == RESOLVE_READY || options->passthrough == PASSTHROUGH_ON;
}

/*
 * From the caller's words to the layers: after this nothing of the caller's is needed any more but
 * the directories themselves.
 */
static int read_call(struct arguments *arguments, struct source *source, char **ret_mountpoint,
		     int report_fd, struct view_error *error)
{
	int r;

	if (source_find(arguments, source, error) < 0)
		return -ECANCELED;
	*ret_mountpoint = mountpoint_path(arguments->mountpoint);
	if (!*ret_mountpoint)
		return mountpoint_fail(arguments->mountpoint, -errno, error);
	r = background_close(&report_fd, 1);
	return r < 0 ? view_fail(error, SAY_SYSTEM, "close_range", strerror(-r)) : 0;
}

/*
 * What must be known before the mount. Where layers are too many to be held open some would have
 * to be found by their paths again, and the mount may lie on the way: it would wait for itself.
 */
static int resolve_first(struct view *view, const struct options *options, struct view_error *error)
{
	if (resolves_first(options))
		return view_resolve(view, error);
	return li_stack_is_held(view->stack) ? 0 : view_resolve_early(view, error);
}

/* Everything up to the moment when the view can be used. */
static int make(struct arguments *arguments, struct view *view, int report_fd,
		char **ret_mountpoint, struct session **ret, struct view_error *error)
{
	cleanup_with(source_done) struct source source = {};

	if (read_call(arguments, &source, ret_mountpoint, report_fd, error) < 0 ||
	    view_prepare(&arguments->options, &source, true, view, error) < 0 ||
	    resolve_first(view, &arguments->options, error) < 0)
		return -ECANCELED;
	return mount_view(view, arguments, *ret_mountpoint, report_fd, ret, error);
}

/* Tells the launcher, as the last thing before the caller is on its own. */
static int announce(const struct server_call *call, const struct view *view,
		    const struct session *session, const char *mountpoint, struct view_error *error)
{
	const struct arguments *arguments = call->arguments;
	cleanup_free char *ready =
		report_ready_line(view, arguments->options.id, mountpoint,
				  session_has_passthrough(session), now_us() - call->start_us);
	int r;

	if (!ready)
		return view_fail(error, SAY_NO_MEMORY);
	r = background_detach(arguments->foreground);
	if (r < 0)
		return view_fail(error, SAY_SYSTEM, "/dev/null", strerror(-r));
	if (!arguments->foreground)
		log_to_syslog();
	/* A view outlives its caller, but for one who stays in the foreground. */
	if (arguments->foreground)
		prctl(PR_SET_PDEATHSIG, SIGTERM);
	r = report_send(call->report_fd, error, ready);
	return r < 0 ? view_fail(error, SAY_SYSTEM, "launcher", strerror(-r)) : 0;
}

/* Serves; what the start took and serving does not need is given back as soon as it can be. */
static int serve(struct session *session, struct view *view, const struct server_call *call)
{
	int r;

	spawn_yield();
	r = session_settle(session, call->report_fd);
	cache_keep(view->stack);
	view_release_layers(view);
	close(call->report_fd);
	if (r <= 0)
		return r;
	if (call->launcher_frame)
		memory_release_below(call->launcher_frame);
	memory_release_heap();
	memory_release_stack();
	return session_serve(session);
}

int server_run(const struct server_call *call)
{
	cleanup_with(view_done) struct view view = {};
	cleanup_free char *mountpoint = NULL;
	struct session *session = NULL;
	VIEW_ERROR(error);
	int r;

	setsid();
	r = make(call->arguments, &view, call->report_fd, &mountpoint, &session, &error);
	if (r == 0) {
		r = announce(call, &view, session, mountpoint, &error);
		if (r < 0)
			mountpoint_detach(mountpoint);
	}
	if (r < 0) {
		report_send(call->report_fd, &error, NULL);
		return view_code_exit(error.code);
	}
	return serve(session, &view, call) < 0 ? view_code_exit(CODE_ESYSTEM) : 0;
}
