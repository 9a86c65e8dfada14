/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's first request, INIT, is answered here, with what not every libfuse knows. libfuse
 * gets it too, to be ready for those that follow, under a number that the kernel knows no request
 * by: it has no use for that answer, and libfuse takes the request for one that was interrupted.
 */
#include "fuse/serve/session.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fuse/base/clock.h"
#include "fuse/base/fuse-kernel.h"
#include "fuse/base/log.h"
#include "fuse/base/messages.h"
#include "fuse/base/text.h"
#include "fuse/process/sandbox.h"
#include "fuse/serve/artifact-open.h"
#include "fuse/serve/operations.h"
#include "fuse/serve/passthrough.h"
#include "fuse/serve/state.h"

enum {
	INIT_SIZE_MAX = 512, /* the header and what INIT holds: 104 bytes, and growing */
	REQUEST_MAX = READ_MAX + 0x1000, /* the kernel insists on room for a WRITE and its header */
	PAUSE_MS = 5,	/* between two requests, or none comes; for a launcher to end */
	FIRST_MAX = 64, /* requests that all else waits for */
	/*
	 * Between two attempts at what fails with a fault that may pass, and how long in all:
	 * longer than the kernel waits for a lease (45 s, /proc/sys/fs/lease-break-time).
	 */
	SEARCH_PAUSE_MS = 10,
	SEARCH_PAUSE_MAX_MS = 500,
	SEARCH_SECONDS = 60,
	REQUEST_TOUCHED = 512, /* longer are only requests that a view refuses */
	READAHEAD_KB =
		1024, /* of what is read through this process: as much as one request holds */
};

struct session {
	struct artifact_opener opener;
	struct fuse_session *fuse;
	bool resend;		       /* the kernel can send requests again */
	int state;		       /* for another program; owned; -EBADF: there is none */
	struct init_in init;	       /* of the kernel's first request */
	const struct standby *standby; /* NULL: no process stands by */
	union {
		struct fuse_in_header header;
		/* What of it is never read into costs nothing. */
		char request[REQUEST_MAX];
	};
};

/*
 * A process has one at most; in memory of its own it would take three pages more. So aligned, all
 * that is used of it while no large request comes lies in one page. "Common": the linker puts it
 * behind all other variables, and no megabyte of it lies between those that are used.
 */
extern struct session the_session;
_Alignas(1024) struct session the_session __attribute__((common));

static void log_libfuse(enum fuse_log_level level, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

static void log_libfuse(enum fuse_log_level level, const char *format, va_list args)
{
	cleanup_free char *text = text_vformat(format, args);

	if (!text)
		return;
	text[strcspn(text, "\n")] = '\0';
	log_message(level <= FUSE_LOG_ERR ? LOG_LEVEL_ERROR : LOG_LEVEL_DEBUG, "%s", text);
}

/* libfuse's session on the connection, which it owns from now on. */
static struct fuse_session *new_fuse(struct artifact_opener *opener)
{
	char *argv[] = {(char[]){"urunc-viewfs"}, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	struct fuse_session *fuse;
	char path[32];

	fuse_set_log_func(log_libfuse);
	/* libfuse 3.18 would take requests from io_uring, in threads of its own. */
	unsetenv("FUSE_URING_ENABLE");
	fuse = fuse_session_new(&args, &view_operations, sizeof(view_operations), opener);
	/* It has made a copy of its own in there. */
	fuse_opt_free_args(&args);
	if (!fuse)
		return NULL;
	/* By this name it takes a connection that is mounted already. */
	snprintf(path, sizeof(path), "/dev/fd/%d", opener->connection);
	if (fuse_session_mount(fuse, path) < 0) {
		fuse_session_destroy(fuse);
		return NULL;
	}
	return fuse;
}

/*
 * libfuse would complain on stderr where the mount goes away in the middle of a request.
 * Returns: > 0: the size of the request; 0: the mount is gone; < 0: -errno.
 */
static ssize_t receive(struct session *session, int connection)
{
	ssize_t n;

	/* ENOENT: the asking process has been killed meanwhile. */
	do
		n = read(connection, session->request, sizeof(session->request));
	while (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT));
	if (n < 0)
		return errno == ENODEV || errno == ECONNABORTED ? 0 : -errno;
	return n < (ssize_t)sizeof(struct fuse_in_header) ? -EIO : n;
}

/*
 * Answers the request *unique* with an error; or, where that is 0, tells the kernel something.
 * Returns: 0 or -errno.
 */
static int reply_header(const struct session *session, uint64_t unique, int error)
{
	struct fuse_out_header reply = {.len = sizeof(reply), .error = error, .unique = unique};
	/* The sandbox knows no other call that writes. */
	ssize_t n = writev(session->opener.connection, &(struct iovec){&reply, sizeof(reply)}, 1);

	return n < 0 ? -errno : 0;
}

static void process(struct session *session, ssize_t size)
{
	struct fuse_buf request = {.mem = session->request, .size = (size_t)size};
	const struct standby *standby = session->standby;
	uint64_t unique = session->header.unique;

	/* A request that was interrupted is gone: an error of the answer has no meaning. */
	if (operation_changes(session->header.opcode)) {
		reply_header(session, unique, -EROFS);
	} else if (!standby) {
		fuse_session_process_buf(session->fuse, &request);
	} else if (standby->poison && standby->poison == (unique & ~UNIQUE_RESEND)) {
		reply_header(session, unique, -EIO);
	} else {
		*standby->task = unique & ~UNIQUE_RESEND;
		fuse_session_process_buf(session->fuse, &request);
		*standby->task = 0;
	}
}

/* Answers INIT, *size* bytes in the session's room for requests. Returns: 0 or -errno. */
static int answer_init(struct session *session, size_t size, const struct wishes *wishes)
{
	const char *init = session->request + sizeof(session->header);
	struct artifact_opener *opener = &session->opener;
	struct negotiated negotiated;
	struct {
		struct fuse_out_header header;
		struct init_out init;
	} answer = {.header = {.len = sizeof(answer), .unique = session->header.unique}};
	int r = passthrough_negotiate(init, size - sizeof(session->header), wishes, &answer.init,
				      &negotiated);

	if (r < 0)
		return r;
	if (write(opener->connection, &answer, sizeof(answer)) != sizeof(answer))
		return -errno;
	memcpy(&session->init, init, sizeof(session->init));
	session->resend = negotiated.resend;
	opener->passthrough = negotiated.passthrough && passthrough_is_allowed(opener->connection);
	if (!negotiated.passthrough)
		opener->why_not = wishes->passthrough ? "this kernel does not support it" : NULL;
	else if (!opener->passthrough)
		opener->why_not = "it requires CAP_SYS_ADMIN in the initial user namespace";
	return 0;
}

/* The kernel reads ahead 128 KiB at most of any FUSE file, unless told otherwise for the mount. */
static void raise_readahead(dev_t device)
{
	cleanup_close int fd = -EBADF;
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", major(device),
		 minor(device));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		dprintf(fd, "%d", READAHEAD_KB);
}

/* Tells libfuse of INIT, which the kernel has its answer to. */
static void tell_init(struct session *session)
{
	const size_t size = sizeof(session->header) + sizeof(struct fuse_init_in);

	memset(session->request, 0, INIT_SIZE_MAX);
	session->header = (struct fuse_in_header){
		.len = (uint32_t)size,
		.opcode = FUSE_INIT,
		.unique = UNIQUE_NONE,
	};
	memcpy(session->request + sizeof(session->header), &session->init, sizeof(session->init));
	process(session, (ssize_t)size);
}

/* Answers INIT, and has libfuse serve what follows. Returns: 0 or -errno. */
static int connect_fuse(struct session *session, const struct wishes *wishes)
{
	ssize_t size;
	int r;

	/* Filled before it is read into: a process that is killed over a page fault in there would
	 * leave a connection that refuses everything. */
	memset(session->request, 0, INIT_SIZE_MAX);
	size = receive(session, session->opener.connection);
	if (size <= 0)
		return size < 0 ? (int)size : -ENODEV;
	if (session->header.opcode != FUSE_INIT)
		return -EPROTO;
	r = answer_init(session, (size_t)size, wishes);
	if (r < 0)
		return r;
	session->fuse = new_fuse(&session->opener);
	if (!session->fuse)
		return -ENOMEM;
	tell_init(session);
	return 0;
}

void session_end(struct session *session)
{
	if (session->fuse)
		fuse_session_destroy(session->fuse);
	else
		close_keep_errno(session->opener.connection);
	session->fuse = NULL;
	session->opener = (struct artifact_opener){};
}

int session_start(struct view *view, const struct options *options, struct view_mount *mount,
		  const char *mountpoint, struct session **ret, struct view_error *error)
{
	struct session *session = &the_session;
	const struct wishes wishes = {
		.passthrough = options->passthrough != PASSTHROUGH_OFF,
		.stacked = image_is_stacked(&view->image),
		.idmap = mount->detached,
	};
	int r;

	session->opener.view = view;
	session->opener.connection = TAKE_FD(mount->connection);
	session->state = -EBADF;
	r = connect_fuse(session, &wishes);
	if (r < 0) {
		session_end(session);
		if (is_resource_error(r))
			return view_fail(error, MSG_SYSTEM, "session", strerror(-r));
		return view_fail(error, MSG_HANDSHAKE, mountpoint, strerror(-r));
	}
	if (!session->opener.passthrough)
		raise_readahead(mount->identity.device);
	if (options->passthrough == PASSTHROUGH_ON &&
	    artifact_require_passthrough(&session->opener, mountpoint, error) < 0) {
		session_end(session);
		return -ECANCELED;
	}
	*ret = session;
	return 0;
}

void session_tell(struct session *session, struct view_facts *facts)
{
	facts->passthrough = artifacts_pass_through(&session->opener);
	session->opener.facts = facts;
}

/* Returns: > 0: a request was answered; 0: the mount is gone; < 0: -errno. */
static int serve_one(struct session *session)
{
	ssize_t size = receive(session, session->opener.connection);

	if (size <= 0)
		return (int)size;
	process(session, size);
	return fuse_session_exited(session->fuse) ? 0 : 1;
}

void session_wait(const struct session *session, int launcher)
{
	struct pollfd fds[] = {
		{.fd = session->opener.connection, .events = POLLIN},
		{.fd = launcher},
	};

	poll(fds, 2, PAUSE_MS);
}

/*
 * The search for artifacts that no request asked for yet: in passes over all of them, when no
 * request has come for some time. Where the asking process has only the processor that this one
 * keeps busy, between two of its requests none waits.
 */
struct search {
	size_t next;	   /* the artifact to look for */
	unsigned pause_ms; /* before the next pass */
	uint64_t until_us; /* when it is given up */
	bool over;
};

/* Looks for the next artifact. *give_up*: this pass is the last. */
static void search_on(struct search *search, struct artifact_opener *opener, bool give_up)
{
	artifact_ensure_open(opener, &opener->view->artifacts[search->next++]);
	if (search->next < opener->view->artifact_count)
		return;
	search->next = 0;
	search->pause_ms =
		search->pause_ms < SEARCH_PAUSE_MS ? SEARCH_PAUSE_MS : 2 * search->pause_ms;
	if (search->pause_ms > SEARCH_PAUSE_MAX_MS)
		search->pause_ms = SEARCH_PAUSE_MAX_MS;
	search->over = give_up || artifacts_are_settled(opener);
}

/* How long to wait for a request. */
static int search_wait_ms(const struct search *search)
{
	if (search->over)
		return -1;
	return search->next > 0 ? 0 : (int)search->pause_ms;
}

int session_serve_startup(struct session *session, int launcher)
{
	struct search search = {
		.pause_ms = PAUSE_MS,
		.until_us = now_us() + SEARCH_SECONDS * UINT64_C(1000000),
	};
	struct pollfd fds[] = {
		{.fd = session->opener.connection, .events = POLLIN},
		{.fd = launcher},
	};
	unsigned served = 0; /* requests; resolving waits for so many only */
	int r = 1;

	while (r > 0 && (!search.over || fds[1].fd >= 0)) {
		bool late = served >= FIRST_MAX || now_us() >= search.until_us;
		int n = poll(fds, 2, late && !search.over ? 0 : search_wait_ms(&search));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (fds[1].revents)
			fds[1].fd = -1;
		if (!search.over && (n == 0 || late)) {
			search_on(&search, &session->opener, late);
		} else if (n > 0 && fds[0].revents) {
			r = serve_one(session);
			served++;
		}
	}
	return r;
}

int session_serve_first(struct session *session)
{
	struct pollfd fd = {.fd = session->opener.connection, .events = POLLIN};
	int r = 1;

	for (int i = 0; i < FIRST_MAX && r > 0; i++) {
		if (poll(&fd, 1, PAUSE_MS) <= 0)
			break;
		r = serve_one(session);
	}
	return r;
}

bool session_can_survive(const struct session *session)
{
	return session->resend;
}

void session_keep_state(struct session *session, struct view_state *state)
{
	state->init = session->init;
	state->passthrough = session->opener.passthrough;
	state->resend = session->resend;
	session->state = state_keep(state);
}

struct session *session_adopt(struct view *view, int connection, int state)
{
	struct session *session = &the_session;

	session->opener.view = view;
	session->opener.connection = connection;
	session->state = state;
	session->fuse = new_fuse(&session->opener);
	return session->fuse ? session : NULL;
}

void session_resume(struct session *session, const struct view_state *state)
{
	session->init = state->init;
	session->resend = state->resend;
	session->opener.passthrough = state->passthrough;
	tell_init(session);
}

int session_resend(const struct session *session)
{
	return reply_header(session, 0, NOTIFY_RESEND);
}

bool session_reads(const struct session *session)
{
	const struct view *view = session->opener.view;

	for (size_t i = 0; i < view->artifact_count; i++)
		if (view->artifacts[i].fd >= 0)
			return true;
	return false;
}

/* The descriptors that serving takes. Returns: their number. */
static size_t kept_fds(const struct session *session, int ret[static SESSION_FDS_MAX])
{
	const struct view *view = session->opener.view;
	size_t n = 0;

	ret[n++] = session->opener.connection;
	if (session->state >= 0)
		ret[n++] = session->state;
	for (size_t i = 0; i < view->artifact_count; i++)
		if (view->artifacts[i].fd >= 0)
			ret[n++] = view->artifacts[i].fd;
	return n;
}

unsigned session_sandbox(struct session *session, bool standby)
{
	const struct view *view = session->opener.view;
	int fds[SESSION_FDS_MAX];
	struct sandbox_fds keep = {.fds = fds};

	artifacts_check_pins(&session->opener);
	keep.count = kept_fds(session, fds);
	keep.reading = session_reads(session);
	for (size_t i = 0; i < view->artifact_count; i++)
		if (view->artifacts[i].fd >= 0)
			log_debug("'%s' stays open, to be read through this process",
				  view->artifacts[i].path);
	log_end();
	return standby ? sandbox_standby(&keep) : sandbox(&keep);
}

/*
 * Where the kernel cannot write a request because this process is killed over a page fault, the
 * request fails. All that a view answers fits in the first page, or lies in two.
 */
static void touch_request(struct session *session)
{
	volatile char *bytes = session->request;

	bytes[0] = bytes[REQUEST_TOUCHED - 1] = 0;
}

int session_continue(struct session *session, const struct standby *standby)
{
	int r = 0;

	touch_request(session);
	session->standby = standby;
	if (standby->generation > 1)
		r = session_resend(session);
	return r < 0 ? r : sandbox_narrow_to_successor(session_reads(session));
}

int session_serve(struct session *session)
{
	int r;

	do
		r = serve_one(session);
	while (r > 0);
	return r;
}
