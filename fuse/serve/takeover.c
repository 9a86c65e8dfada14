/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/serve/takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/base/text.h"
#include "fuse/live/proctitle.h"
#include "fuse/live/view-answer.h"
#include "fuse/process/daemonize.h"
#include "fuse/process/inherited.h"
#include "fuse/process/memory.h"
#include "fuse/process/pass-fd.h"
#include "fuse/process/sandbox.h"
#include "fuse/process/standby.h"
#include "fuse/serve/ready-line.h"
#include "fuse/serve/serve-view.h"
#include "fuse/serve/session.h"
#include "fuse/serve/state.h"
#include "layerindex/file/whole.h"

enum { PARTS_MAX = SESSION_FDS_MAX };

/* A view on its way to this process. */
struct takeover {
	int socket; /* above STATE_FD_MAX */
	struct takeover_call call;
	int fds[PARTS_MAX]; /* connection, state, files: with the call's numbers */
	size_t fd_count;
	const void *bytes; /* the state, mapped */
	size_t size;
	struct session *session;
	struct standby standby;
	struct view view;
	struct view_facts facts;
	struct view_state state;
};

static int fail(const char *what, int r, struct view_error *error)
{
	return view_fail(error, MSG_TAKEOVER, what, strerror(-r));
}

/* The parts */

/* Moves a descriptor out of the way of the call's numbers. Returns: the new one, or -errno. */
static int move_up(int fd)
{
	int up = fcntl(fd, F_DUPFD_CLOEXEC, STATE_FD_MAX + 1);

	up = up < 0 ? -errno : up;
	close(fd);
	return up;
}

/* The call's numbers, in the order in which the descriptors come. Returns: whether they can be. */
static bool list_numbers(struct takeover *takeover)
{
	const struct takeover_call *call = &takeover->call;

	if (call->file_count > ARTIFACTS_MAX || call->group_count > TAKEOVER_GROUPS_MAX)
		return false;
	takeover->fds[takeover->fd_count++] = call->connection;
	takeover->fds[takeover->fd_count++] = call->state;
	for (uint32_t i = 0; i < call->file_count; i++)
		takeover->fds[takeover->fd_count++] = call->files[i];
	for (size_t i = 0; i < takeover->fd_count; i++) {
		if (takeover->fds[i] <= STDERR_FILENO || takeover->fds[i] > STATE_FD_MAX)
			return false;
		for (size_t j = 0; j < i; j++)
			if (takeover->fds[i] == takeover->fds[j])
				return false;
	}
	return true;
}

static int receive_up(int socket)
{
	int fd = pass_fd_receive(socket);

	return fd < 0 ? fd : move_up(fd);
}

/* Receives the call and the descriptors, which have its numbers then. *ret_process*: a pidfd. */
static int receive_parts(struct takeover *takeover, int *ret_process, struct view_error *error)
{
	struct takeover_call *call = &takeover->call;
	int up[PARTS_MAX];

	if (recv(takeover->socket, call, sizeof(*call), MSG_DONTWAIT) != sizeof(*call) ||
	    call->version != TAKEOVER_VERSION || !list_numbers(takeover))
		return fail("the call", -EPROTO, error);
	*ret_process = receive_up(takeover->socket);
	if (*ret_process < 0)
		return fail("the old process", *ret_process, error);
	for (size_t i = 0; i < takeover->fd_count; i++) {
		up[i] = receive_up(takeover->socket);
		if (up[i] < 0)
			return fail("descriptors", up[i], error);
	}
	for (size_t i = 0; i < takeover->fd_count; i++) {
		if (dup3(up[i], takeover->fds[i], O_CLOEXEC) < 0)
			return fail("descriptors", -errno, error);
		close(up[i]);
	}
	return 0;
}

/* The place */

static int take_ids(const struct takeover_call *call)
{
	gid_t groups[TAKEOVER_GROUPS_MAX];

	if (call->uid == getuid() && call->gid == getgid())
		return 0;
	for (uint32_t i = 0; i < call->group_count; i++)
		groups[i] = call->groups[i];
	if (setgroups(call->group_count, groups) < 0 ||
	    setresgid(call->gid, call->gid, call->gid) < 0 ||
	    setresuid(call->uid, call->uid, call->uid) < 0)
		return -errno;
	return 0;
}

/*
 * Takes the old process's place, as far as the upgrade could not put this one there, or the
 * supervisor, whose child this is, was not there before. Libraries are loaded by now: none is
 * looked for in another mount namespace.
 */
static int take_place(const struct takeover_call *call, int process, struct view_error *error)
{
	int r;

	if (call->namespaces && setns(process, (int)call->namespaces) < 0)
		return fail("namespaces", -errno, error);
	close(process);
	setsid();
	signals_of_server(true);
	r = daemonize_detach();
	if (r < 0)
		return fail("/dev/null", r, error);
	daemonize_silence(false);
	r = take_ids(call);
	if (r < 0)
		return fail("the view's user", r, error);
	sandbox_early(false);
	if (!call->supervisor)
		return 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return getppid() == call->supervisor ? 0 : fail("the supervisor", -ESRCH, error);
}

/* All that takes more than the sandbox leaves. */
static int prepare(struct takeover *takeover, struct view_error *error)
{
	ssize_t size = state_size(takeover->call.state);
	void *bytes;
	int r;

	if (size < 0)
		return fail("the state", (int)size, error);
	takeover->size = (size_t)size;
	bytes = mmap(NULL, takeover->size, PROT_READ, MAP_PRIVATE, takeover->call.state, 0);
	if (bytes == MAP_FAILED)
		return fail("the state", -errno, error);
	takeover->bytes = bytes;
	/* A ready line is shorter than a state, unless names in it must be escaped. */
	proctitle_reserve(takeover->size < VIEW_ANSWER_MAX ? takeover->size : VIEW_ANSWER_MAX);
	r = standby_prepare(&takeover->standby, takeover->call.supervisor != 0);
	if (r < 0)
		return fail("memory", r, error);
	takeover->session =
		session_adopt(&takeover->view, takeover->call.connection, takeover->call.state);
	if (!takeover->session)
		return view_fail(error, MSG_NO_MEMORY);
	takeover->facts.pid = getpid();
	takeover->facts.owner = getuid();
	memory_release_heap();
	return 0;
}

/* In the sandbox */

static void enter_sandbox(struct takeover *takeover)
{
	int fds[PARTS_MAX + 1];
	const struct sandbox_fds keep = {
		.fds = fds,
		.count = takeover->fd_count + 1,
		.reading = takeover->call.file_count > 0,
	};

	memcpy(fds, takeover->fds, takeover->fd_count * sizeof(*fds));
	fds[takeover->fd_count] = takeover->socket;
	log_end();
	takeover->facts.sandboxed = sandbox_takeover(&keep);
}

/* Whether this process can serve the view as the other one did. */
static int check_state(const struct takeover *takeover, struct view_error *error)
{
	const struct view_state *state = &takeover->state;

	if (takeover->facts.connection != takeover->call.device)
		return view_fail(error, MSG_STATE_DIFFERS);
	if (!state->resend)
		return view_fail(error, MSG_NO_RESEND);
	if (state->supervised != (takeover->call.supervisor != 0))
		return view_fail(error, MSG_NOT_UPGRADED, "its supervisor does not answer");
	if (state->insist && takeover->facts.sandboxed != SANDBOX_ALL)
		return view_fail(error, MSG_NO_SANDBOX, "a part of it", "not in force");
	return 0;
}

/* Makes the view of its state. */
static int restore(struct takeover *takeover, struct view_error *error)
{
	struct view_facts *facts = &takeover->facts;
	struct view_state *state = &takeover->state;
	cleanup_free char *ready = NULL;

	state->view = &takeover->view;
	state->facts = facts;
	if (state_parse(takeover->bytes, takeover->size, takeover->call.files,
			takeover->call.file_count, state, error) < 0 ||
	    check_state(takeover, error) < 0)
		return -ECANCELED;
	facts->view = &takeover->view;
	facts->version = VIEWFS_VERSION;
	facts->generation = takeover->call.generation;
	facts->survives = facts->shall_survive && facts->sandboxed == SANDBOX_ALL;
	session_resume(takeover->session, state);
	session_tell(takeover->session, facts);
	ready = report_ready_line(facts);
	if (!ready)
		return view_fail(error, MSG_NO_MEMORY);
	proctitle_fill(ready);
	return 0;
}

/* Returns: whether this process is to serve. */
static bool wait_turn(const struct takeover *takeover)
{
	char byte;

	if (read(takeover->socket, &byte, 1) != 1 || byte != TAKEOVER_COMMIT)
		return false;
	/* Whether the old process is gone, or the upgrade. */
	(void)!read(takeover->socket, &byte, 1);
	return true;
}

/* Its filter of system calls, if it has one, allows one call more than that of another view. */
static void narrow_filter(struct view_facts *facts, bool reading)
{
	int r = 0;

	if (facts->sandboxed & 1U << SANDBOX_SECCOMP)
		r = facts->survives ? sandbox_narrow_to_standby(reading)
				    : sandbox_narrow_to_worker(reading);
	if (r < 0)
		facts->sandboxed &= ~(1U << SANDBOX_SECCOMP);
}

static int serve(struct takeover *takeover)
{
	struct view_facts *facts = &takeover->facts;
	bool reading = session_reads(takeover->session);
	int r = session_resend(takeover->session);

	if (r < 0)
		return view_code_exit(CODE_ESYSTEM);
	write_whole(takeover->socket, (char[]){TAKEOVER_SERVES}, 1);
	close(takeover->socket);
	narrow_filter(facts, reading);
	return served_run(&(struct served){takeover->session, &takeover->view, facts},
			  &takeover->standby, facts->survives);
}

/* Everything that can fail. Returns: 0, or < 0 with *error*. */
static int get_ready(struct takeover *takeover, struct view_error *error)
{
	int process = -EBADF;

	if (receive_parts(takeover, &process, error) < 0 ||
	    take_place(&takeover->call, process, error) < 0 || prepare(takeover, error) < 0)
		return -ECANCELED;
	enter_sandbox(takeover);
	return restore(takeover, error);
}

int takeover_run(const char *socket)
{
	/* Not on the stack, of which pages of the view's memory would be left. */
	static struct takeover takeover;
	static struct view_error error;
	uint64_t number;
	char pid[16];

	if (parse_uint(socket, 10, INT32_MAX, &number) < 0)
		return view_code_exit(CODE_EUSAGE);
	takeover.socket = move_up((int)number);
	if (takeover.socket < 0)
		return view_code_exit(CODE_EUSAGE);
	if (get_ready(&takeover, &error) < 0) {
		report_send(takeover.socket, &error, NULL);
		return view_code_exit(error.code);
	}
	snprintf(pid, sizeof(pid), "%d", takeover.facts.pid);
	/* A supervisor that takes this process for the view's must not take that for its end. */
	if (report_send(takeover.socket, &error, pid) < 0 || !wait_turn(&takeover))
		return view_code_exit(CODE_ESYSTEM);
	return serve(&takeover);
}
