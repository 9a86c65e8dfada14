/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process outlives its caller, so that a time limit costs no work that was done. Calls for an
 * image that is being added wait for the image's lock, which the process holds; those that come a
 * moment too early to see it start one that waits likewise.
 */
#include "fuse/view/ingest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/ioprio.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/base/clock.h"
#include "fuse/base/json.h"
#include "fuse/base/messages.h"
#include "fuse/cli/fill-progress.h"
#include "fuse/process/fds.h"
#include "fuse/process/inherited.h"
#include "fuse/process/run-with-timeout.h"
#include "fuse/process/self-exe.h"

#define PROGRAM "viewfsctl"

enum {
	DESCRIPTORS_MAX = 1024, /* of the process */
	OUTCOME_MAX = 1 << 20,	/* bytes of the last words that are looked at */
};

void ingest_done(struct ingest *ingest)
{
	ingest->outcome = close_keep_errno(ingest->outcome);
}

static uint64_t until_us(const struct ingest *ingest)
{
	return ingest->start_us + ingest->options->timeout * UINT64_C(900000);
}

static bool is_waited_for(const struct ingest *ingest, const struct source *source)
{
	enum ingest_when when = ingest->options->ingest;

	return when == INGEST_BY_SOURCE ? source->blobs.oci != NULL : when == INGEST_WAIT;
}

__attribute__((format(printf, 2, 3))) static int add_word(struct strings *words, const char *format,
							  ...)
{
	char *word = NULL;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&word, format, args);
	va_end(args);
	return n < 0 ? -ENOMEM : strings_take(words, word);
}

/* The process runs in another directory. Returns: owned, or NULL without memory. */
static char *absolute(const char *path)
{
	cleanup_free char *cwd = *path == '/' ? NULL : getcwd(NULL, 0);
	char *whole;

	if (*path == '/')
		return strdup(path);
	return cwd && asprintf(&whole, "%s/%s", cwd, path) >= 0 ? whole : NULL;
}

static int add_path(struct strings *words, const char *name, const char *path)
{
	cleanup_free char *whole = absolute(path);

	return whole ? add_word(words, "--%s=%s", name, whole) : -ENOMEM;
}

/* An option, if there is a value. */
static int add_option(struct strings *words, const char *name, const char *value)
{
	cleanup_free char *escaped = value ? option_escape(value) : NULL;

	if (!value)
		return 0;
	return escaped ? add_word(words, "-o%s=%s", name, escaped) : -ENOMEM;
}

/* The default is the process's own, too, and its parent is made. */
static int add_store(struct strings *words, const char *store)
{
	cleanup_free char *whole = store ? absolute(store) : NULL;

	return store && !whole ? -ENOMEM : add_option(words, "store", whole);
}

static int add_blobs(struct strings *words, const struct source *source)
{
	char manifest[DIGEST_TEXT_SIZE];

	if (source->blobs.oci)
		return add_path(words, "oci", source->blobs.oci);
	digest_print(&source->blobs.manifest.digest, manifest);
	if (add_path(words, "content", source->blobs.content) < 0)
		return -ENOMEM;
	return add_word(words, "--manifest=%s", manifest);
}

/* The command that adds the image with all that a view with these options asks for. */
static int make_command(const char *program, const struct source *source,
			const struct options *options, bool wait, struct strings *ret)
{
	static const char fixed[][12] = {"store", "add", "--syslog", "--json"};
	int r = add_word(ret, "%s", program);

	for (size_t i = 0; r == 0 && i < sizeof(fixed) / sizeof(*fixed); i++)
		r = add_word(ret, "%s", fixed[i]);
	if (r < 0 || add_blobs(ret, source) < 0 ||
	    (source->bundle && add_path(ret, "bundle", source->bundle) < 0) ||
	    add_store(ret, options->store) < 0 ||
	    add_option(ret, "platform", options->platform) < 0 ||
	    add_option(ret, "binary", options->binary) < 0 ||
	    add_option(ret, "initrd", options->initrd) < 0)
		return -ENOMEM;
	return add_word(ret, "-otimeout=%d,store-size=%" PRIu64 ",ingest=%s,toc=%s,decode=%s",
			TIMEOUT_MAX, options->store_size, wait ? "wait" : "later",
			options->toc == TOC_OFF ? "off" : "auto",
			options->decode == DECODE_AUTO ? "auto" : "strict");
}

/* In the process: leaves all of the caller's but its cgroup, namespaces and identity. */
static void become_program(char *const argv[], int out, bool idle)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct rlimit limit;

	setsid();
	signals_of_program();
	setrlimit(RLIMIT_CORE, &(struct rlimit){});
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > DESCRIPTORS_MAX) {
		limit.rlim_cur = DESCRIPTORS_MAX;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (idle)
		syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
			IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
	if (dup2(null, STDIN_FILENO) < 0 || dup2(out < 0 ? null : out, STDOUT_FILENO) < 0 ||
	    dup2(null, STDERR_FILENO) < 0 || fds_close(STDERR_FILENO + 1, NULL, 0) < 0 ||
	    chdir("/") < 0)
		_exit(RUN_WITH_TIMEOUT_FAILED);
	execv(argv[0], argv);
	_exit(RUN_WITH_TIMEOUT_FAILED);
}

/* Starts the process, which writes to *out*, or nowhere. Returns: a pid, or < 0 with *error*. */
static pid_t start_program(const struct options *options, const struct source *source, int out,
			   struct view_error *error)
{
	cleanup_with(strings_clear) struct strings words = {};
	cleanup_free char **argv = NULL;
	char program[PATH_MAX];
	int r = program_path(PROGRAM, program);
	pid_t pid;

	if (r == 0 && access(program, X_OK) < 0)
		r = -errno;
	if (r < 0)
		return view_fail(error, MSG_INGEST_PROGRAM, program, strerror(-r));
	r = make_command(program, source, options, out >= 0, &words);
	argv = r < 0 ? NULL : calloc(words.count + 1, sizeof(*argv));
	if (!argv)
		return view_fail(error, MSG_NO_MEMORY);
	memcpy(argv, words.items, words.count * sizeof(*argv));
	/* Without the C library's preparations, which a shared heap may not bear. */
	pid = _Fork();
	if (pid == 0)
		become_program(argv, out, out < 0);
	return pid < 0 ? view_fail(error, MSG_SYSTEM, "fork", strerror(errno)) : pid;
}

static int fail_late(const struct ingest *ingest, struct view_error *error)
{
	return view_fail(error, MSG_INGEST_TIMEOUT, ingest->options->timeout);
}

/* The last line of what the process wrote; owned, or NULL. */
static char *read_outcome(int fd)
{
	cleanup_free char *text = NULL;
	struct stat st;
	char *line;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return NULL;
	text = calloc(1, OUTCOME_MAX + 1);
	n = text ? pread(fd, text, OUTCOME_MAX,
			 st.st_size > OUTCOME_MAX ? st.st_size - OUTCOME_MAX : 0)
		 : -1;
	if (n <= 0 || text[n - 1] != '\n')
		return NULL;
	text[n - 1] = '\0';
	line = strrchr(text, '\n');
	return strdup(line ? line + 1 : text);
}

/* The same, parsed. */
static struct json_object *parse_outcome(int fd)
{
	cleanup_free char *line = read_outcome(fd);
	struct json_object *told = NULL;
	struct json_fault syntax;

	return line && json_parse(line, strlen(line), &told, &syntax) == 0 ? told : NULL;
}

static uint64_t number_at(struct json_object *object, const char *key)
{
	return json_object_get_uint64(json_member(object, key, json_type_int));
}

/* Shows how far the process is, if it has said that. Returns: whether it has. */
static bool show_progress(const struct ingest *ingest)
{
	cleanup_with(json_done) struct json_object *told = parse_outcome(ingest->outcome);
	struct json_object *progress = json_member(told, "progress", json_type_object);

	if (!progress)
		return false;
	fill_progress_show(&(struct fill_progress){
		.layer = (uint32_t)number_at(progress, "layer"),
		.layers = (uint32_t)number_at(progress, "layers"),
		.bytes = number_at(progress, "bytes"),
		.of = number_at(progress, "of"),
		.rate = number_at(progress, "rate"),
	});
	return true;
}

/* Waits for the process, as wait_child_end(). */
static int wait_program(const struct ingest *ingest, pid_t pid)
{
	uint64_t until = until_us(ingest);
	bool shown = false;
	int r = 0;

	while (r == 0 && now_us() < until) {
		uint64_t next = ingest->terminal ? now_us() + FILL_PROGRESS_US : until;

		r = wait_child_end(pid, next < until ? next : until);
		if (r == 0 && ingest->terminal && show_progress(ingest))
			shown = true;
	}
	if (shown)
		fill_progress_clear();
	return r;
}

/* Starts the process and waits for its end. Returns: 0, or < 0 with *error*. */
static int add_now(struct ingest *ingest, const struct source *source, struct view_error *error)
{
	int status, r;
	pid_t pid;

	ingest->outcome = memfd_create("outcome", MFD_CLOEXEC);
	if (ingest->outcome < 0)
		return view_fail(error, MSG_SYSTEM, "memfd_create", strerror(errno));
	pid = start_program(ingest->options, source, ingest->outcome, error);
	if (pid < 0)
		return -ECANCELED;
	r = wait_program(ingest, pid);
	if (r < 0)
		return view_fail(error, MSG_SYSTEM, PROGRAM, strerror(-r));
	if (r == 0)
		return fail_late(ingest, error);
	waitpid(pid, &status, 0);
	return 0;
}

/* That the image was not added is said as the process said it. */
static int fail_as_told(const struct ingest *ingest, struct view_error *error)
{
	cleanup_with(json_done) struct json_object *told = parse_outcome(ingest->outcome);
	struct json_object *fault;
	const char *code, *message;

	if (!told)
		/* cppcheck-suppress memleak ; cleanup_with() frees it */
		return view_fail(error, MSG_INGEST_FAILED);
	fault = json_member(told, "error", json_type_object);
	code = json_string(fault, "code");
	message = json_string(fault, "message");
	if (code && message)
		return view_fail(error, view_code_of(code), "%s", message);
	return 0;
}

/*
 * Whether another process adds the image; waits until *deadline_us*, 0: not at all, for it to be
 * done. Returns: > 0: it is done; 0: none does; -ETIMEDOUT: it is not done.
 */
static int wait_other(const struct li_store *store, const struct li_digest *manifest,
		      uint64_t deadline_us)
{
	struct li_store_key key = {LI_STORE_MANIFEST, *manifest};
	struct timespec deadline = {.tv_sec = (time_t)(deadline_us / 1000000),
				    .tv_nsec = (long)(deadline_us % 1000000) * 1000};
	int lock = li_store_lock(store, &key, &(struct timespec){});
	bool waited = lock == -ETIMEDOUT;

	if (waited && deadline_us > 0)
		lock = li_store_lock(store, &key, &deadline);
	close_keep_errno(lock);
	return lock == -ETIMEDOUT ? lock : waited;
}

/*
 * What is known of the image's addition: that it failed lately, or that another process is at it.
 * Returns: as wait_other(), or -ECANCELED with *error*.
 */
static int ask_store(const struct ingest *ingest, const struct source *source, bool wait,
		     struct view_error *error)
{
	cleanup_free char *directory = store_directory_path(ingest->options->store);
	cleanup_with(li_store_done) struct li_store *store = NULL;
	const struct li_digest *manifest = &source->manifest.digest;

	/* One that is not there yet, or cannot be used, is the process's matter. */
	if (!directory || li_store_open(directory, false, &store) < 0)
		/* cppcheck-suppress memleak ; cleanup_with() frees it */
		return 0;
	if (store_check_failure(store, manifest, error) < 0)
		return -ECANCELED;
	return wait_other(store, manifest, wait ? until_us(ingest) : 0);
}

/* Returns: > 0: the image may be there now; 0: it is not; < 0 with *error*. */
static int add_image(struct ingest *ingest, const struct source *source, struct view_error *error)
{
	bool wait = is_waited_for(ingest, source);
	int r;

	/* It was added, or was not, and there is no answer even so. */
	if (ingest->outcome >= 0)
		return fail_as_told(ingest, error);
	r = ask_store(ingest, source, wait, error);
	if (r > 0 || r == -ECANCELED)
		return r;
	if (r == -ETIMEDOUT)
		return wait ? fail_late(ingest, error) : 0;
	if (wait)
		return add_now(ingest, source, error) < 0 ? -ECANCELED : 1;
	return start_program(ingest->options, source, -EBADF, error) < 0 ? -ECANCELED : 0;
}

/* What the store has by chain may lack an answer that it has by manifest. */
static bool ask_by_manifest(struct source *source)
{
	if (!source->chain.given || !source->manifest.given || source->by_manifest)
		return false;
	source->by_manifest = true;
	return true;
}

bool ingest_again(struct ingest *ingest, struct source *source, struct view *view,
		  struct view_error *error)
{
	bool again = ask_by_manifest(source);
	VIEW_ERROR(fault);

	if (!again && source_has_blobs(source) && ingest->options->ingest != INGEST_NO) {
		int r = add_image(ingest, source, &fault);

		source->by_manifest = false;
		again = r > 0;
		if (r < 0)
			*error = fault;
		else if (!again && ingest->outcome < 0)
			view_hint(error, HINT_INGEST);
	}
	if (!again)
		return false;
	view_undo(view, source);
	error->code = CODE_NONE;
	return true;
}
