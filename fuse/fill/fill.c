/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store keeps what the image holds, not what becomes of it: a urunc.json that is unusable is
 * filed, so that a view says the same of the stored image as of the layers.
 */
#include "fuse/fill/fill.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/clock.h"
#include "fuse/base/messages.h"
#include "fuse/base/text.h"
#include "fuse/view/urunc-config.h"
#include "fuse/view/view.h"

void fill_result_done(struct fill_result *result)
{
	li_store_facts_done(&result->facts);
}

/* Appends a path as the view names it; urunc allows no other. */
static int add_path(struct strings *paths, const char *path)
{
	char *rooted;

	if (!path || urunc_path_fault(path))
		return 0;
	if (asprintf(&rooted, "%s%s", *path == '/' ? "" : "/", path) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < paths->count; i++)
		if (strcmp(paths->items[i], rooted) == 0) {
			free(rooted);
			return 0;
		}
	return store_path_is_sound(rooted) ? strings_take(paths, rooted) : (free(rooted), 0);
}

/*
 * The paths that a view of *image* asks for. That nothing says what boots leaves urunc.json.
 * Returns: 0, or < 0 with *error*: the image or the machine failed, or an answer is missing.
 */
static int list_paths(const struct fill_call *call, const struct image *image, struct strings *ret,
		      struct view_error *error)
{
	cleanup_with(urunc_config_done) struct urunc_config config = {};
	cleanup_with(image_file_done) struct image_file file = IMAGE_FILE_INIT;
	VIEW_ERROR(fault);
	int r = urunc_config_read(call->options, call->annotations, image, &config, &file, &fault);

	if (r < 0 && (fault.code == CODE_ELAYER || fault.code == CODE_ESYSTEM))
		return view_fail(error, fault.code, "%s", fault.message);
	if (add_path(ret, URUNC_JSON) < 0 || (r == 0 && add_path(ret, config.binary) < 0) ||
	    (r == 0 && add_path(ret, config.initrd) < 0))
		return view_fail(error, MSG_NO_MEMORY);
	return 0;
}

/* Whether a stored image has an answer for a path. */
static bool has_answer(const struct image *image, const char *path)
{
	cleanup_with(image_file_done) struct image_file file = IMAGE_FILE_INIT;
	int r = image_find(image, path, &file);

	return r != IMAGE_MISS && !is_resource_error(r);
}

/*
 * Whether the store has all answers for the call under a key; *ret_source* is where they came from.
 */
static bool is_complete_by(const struct fill_call *call, const struct li_store_key *key,
			   const char *directory, enum li_store_source *ret_source)
{
	cleanup_with(strings_clear) struct strings paths = {};
	cleanup_with(image_close) struct image image = {};
	VIEW_ERROR(ignored);

	if (image_open_stored(key, directory, true, &image, &ignored) < 0 ||
	    list_paths(call, &image, &paths, &ignored) < 0)
		return false;
	*ret_source = image_stored_facts(&image)->source;
	for (size_t i = 0; i < paths.count; i++)
		if (!has_answer(&image, paths.items[i]))
			return false;
	return true;
}

/* What the store has of what the call asks for. */
enum completeness {
	STORE_LACKS,
	STORE_HAS,	/* under every key */
	STORE_HAS_PART, /* by manifest, so that it can be filed by chain */
};

/*
 * What the store has by chain says nothing of a manifest that it does not know: any configuration
 * may claim any chain, and only the layers show that it is theirs.
 */
static enum completeness completeness_of(const struct fill_call *call, const char *directory)
{
	struct li_store_key chain = {.by = LI_STORE_CHAIN, .id = call->chain};
	enum li_store_source source, of_chain;
	bool has = is_complete_by(call, &call->key, directory, &source);

	if (has && source == LI_STORE_TOC && call->options->toc == TOC_OFF)
		has = false;
	if (!has || call->key.by == LI_STORE_CHAIN || source == LI_STORE_TOC)
		return has ? STORE_HAS : STORE_LACKS;
	return is_complete_by(call, &chain, directory, &of_chain) ? STORE_HAS : STORE_HAS_PART;
}

/* What is filed of a path at which there is no artifact. */
static void set_other(struct li_store_answer *answer, int reason)
{
	answer->kind = LI_STORE_OTHER;
	answer->reason = reason;
}

/* The answer for what was found, or for what finding it failed with; not for a fault. */
static int set_answer(struct li_store_answer *answer, const struct image *image, int r,
		      const struct image_file *file, struct view_error *error)
{
	if (r < 0 && image_met_mark(image)) {
		set_other(answer, IMAGE_MARK);
		return 0;
	}
	switch (r) {
	case 0: break;
	case -ENOENT:
	case -ENOTDIR: answer->kind = LI_STORE_ABSENT; return 0;
	case -ELOOP:
	case -ENAMETOOLONG: set_other(answer, -r); return 0;
	default:
		if (is_resource_error(r))
			return view_fail(error, MSG_SYSTEM, answer->path, strerror(-r));
		return view_fail(error, MSG_TREE_READ, answer->path, strerror(-r));
	}
	if (!S_ISREG(file->st.st_mode))
		set_other(answer, image_reason_of_type(file->st.st_mode));
	else if (urunc_path_fault(file->name) && strcmp(answer->path, URUNC_JSON) != 0)
		set_other(answer, IMAGE_TARGET_PATH);
	else {
		li_store_answer_set(answer, &file->st);
		answer->origin = file->origin;
	}
	return 0;
}

/* The answers to file, with the files that they are about. */
struct additions {
	size_t count;
	struct image_file files[ARTIFACTS_MAX];
	struct li_store_addition items[ARTIFACTS_MAX];
	uint64_t bytes;
};

static void additions_done(struct additions *additions)
{
	for (size_t i = 0; i < additions->count; i++)
		image_file_done(&additions->files[i]);
}
DEFINE_CLEANUP(struct additions, additions_done)

static int find_additions(const struct image *image, const struct strings *paths,
			  struct additions *ret, struct view_error *error)
{
	const struct image_finder *finder = &image->finder;

	/* Where that fails finding them fails, too. */
	if (finder->prepare && finder->prepare(finder->context, paths->items, paths->count) < 0)
		return -ECANCELED;
	for (size_t i = 0; i < paths->count; i++) {
		struct li_store_addition *addition = &ret->items[i];
		struct image_file *file = &ret->files[i];
		int r;

		*file = IMAGE_FILE_INIT;
		*addition =
			(struct li_store_addition){.answer.path = paths->items[i], .fd = -EBADF};
		ret->count++;
		r = image_find(image, paths->items[i], file);
		if (set_answer(&addition->answer, image, r, file, error) < 0)
			return -ECANCELED;
		if (addition->answer.kind != LI_STORE_ARTIFACT)
			continue;
		addition->fd = file->fd;
		addition->is_given = file->is_ours;
		addition->digest = file->digest.given ? &file->digest.digest : NULL;
		ret->bytes += (uint64_t)file->st.st_size;
	}
	return 0;
}

static int fail_add(const char *directory, int r, struct view_error *error)
{
	switch (r) {
	case -E2BIG: return view_fail(error, MSG_STORE_PATHS, directory, LI_STORE_PATHS_MAX);
	case -ENOSPC: return view_fail(error, MSG_STORE_SPACE, directory);
	case -EAGAIN: return view_fail(error, MSG_STORE_BUSY, directory);
	case -ESTALE: return view_fail(error, MSG_TREE_CHANGED, directory);
	default: return view_fail(error, MSG_STORE, directory, strerror(-r));
	}
}

struct meter {
	const struct fill_call *call;
	uint64_t all;
};

/* Each byte is done twice: see struct li_store_progress. */
static void meter_tell(uint64_t done, void *context)
{
	const struct meter *meter = context;

	meter->call->progress(&(struct fill_progress){.bytes = done / 2, .of = meter->all});
}

/* Files what was found, if anything, beside what is filed under the image's keys already. */
static int add_found(const struct fill_call *call, const struct li_store *store, int lock,
		     const char *directory, const struct additions *additions,
		     struct fill_result *ret, struct view_error *error)
{
	struct li_store_facts facts = {
		.key = call->key,
		.chain = call->chain,
		.source = *call->source,
		.layers = call->layers,
		.diff_ids = call->layers,
	};
	struct li_store_limits limits = {call->options->store_size, INT64_MAX};
	struct meter meter = {.call = call, .all = additions->bytes};
	struct li_store_progress progress = {meter_tell, &meter};
	int r = li_store_add(store, lock, &facts, additions->items, additions->count, &limits,
			     call->progress ? &progress : NULL, &ret->facts);

	if (r < 0)
		return fail_add(directory, r, error);
	ret->added = true;
	ret->bytes = additions->bytes;
	return 0;
}

enum { SLOT_SECONDS_MAX = 600 };

static struct timespec deadline_of(const struct fill_call *call)
{
	return (struct timespec){
		.tv_sec = (time_t)(call->deadline_us / 1000000),
		.tv_nsec = (long)(call->deadline_us % 1000000) * 1000,
	};
}

static int fail_lock(const struct fill_call *call, int r, const char *directory,
		     struct view_error *error)
{
	if (r == -ETIMEDOUT && call->deadline_us == 0)
		return view_fail(error, MSG_STORE_ADDING, directory);
	if (r == -ETIMEDOUT)
		return view_fail(error, MSG_STORE_WAIT, directory, call->options->timeout);
	return view_fail(error, MSG_STORE, directory, strerror(-r));
}

/* Remembers why the image is unusable, if it is that. */
static int remember(const struct fill_call *call, const struct li_store *store,
		    const struct view_error *error)
{
	struct li_store_failure failure = {.code = error->code};

	if (call->unusable && *call->unusable && error->code != CODE_ESYSTEM) {
		snprintf(failure.text, sizeof(failure.text), "%.*s", LI_STORE_FAILURE_TEXT - 1,
			 error->message);
		/* Where that fails the image is unpacked again. */
		li_store_failure_add(store, &call->key.id, &failure);
	}
	return -ECANCELED;
}

/* Opens what the store has of the image already, if the call may use it; else *ret* is empty. */
static void open_known(const struct fill_call *call, const char *directory, struct image *ret)
{
	VIEW_ERROR(ignored);

	if (image_open_stored(&call->key, directory, true, ret, &ignored) == 0 &&
	    image_stored_facts(ret)->source == LI_STORE_TOC && call->options->toc == TOC_OFF)
		image_close(ret);
}

/* The paths that the image must be asked for: what is answered is not extracted again. */
static int list_missing(const struct fill_call *call, const struct image *image,
			const struct image *known, struct strings *ret, struct view_error *error)
{
	cleanup_with(strings_clear) struct strings paths = {};
	bool configured = known->stored && has_answer(known, URUNC_JSON);

	if (list_paths(call, configured ? known : image, &paths, error) < 0)
		return -ECANCELED;
	for (size_t i = 0; i < paths.count; i++)
		if (!(known->stored && has_answer(known, paths.items[i])) &&
		    strings_take(ret, TAKE_PTR(paths.items[i])) < 0)
			return view_fail(error, MSG_NO_MEMORY);
	return 0;
}

/* The caller holds the image's lock. */
static int fill_image(const struct fill_call *call, const struct li_store *store, int lock,
		      const char *directory, struct fill_result *ret, struct view_error *error)
{
	cleanup_with(image_close) struct image image = {}, known = {};
	cleanup_with(strings_clear) struct strings paths = {};
	cleanup_with(additions_done) struct additions additions = {};
	struct timespec deadline = deadline_of(call);
	cleanup_close int slot = -EBADF;

	if (call->unusable && store_check_failure(store, &call->key.id, error) < 0)
		return -ECANCELED;
	/* A call that does not wait for others that do its work waits for its turn. */
	if (call->deadline_us == 0)
		deadline.tv_sec = (time_t)(now_us() / 1000000) + SLOT_SECONDS_MAX;
	slot = li_store_lock_slot(store, &deadline);
	if (slot < 0)
		return fail_lock(call, slot, directory, error);
	open_known(call, directory, &known);
	if (call->open(call, store, &image, error) < 0 ||
	    list_missing(call, &image, &known, &paths, error) < 0 ||
	    find_additions(&image, &paths, &additions, error) < 0)
		return remember(call, store, error);
	return add_found(call, store, lock, directory, &additions, ret, error);
}

/* Takes the image's lock, and looks again: the process that had it may have done the work. */
static int fill_locked(const struct fill_call *call, const struct li_store *store,
		       const char *directory, struct fill_result *ret, struct view_error *error)
{
	struct timespec deadline = deadline_of(call);
	cleanup_close int lock = li_store_lock(store, &call->key, &deadline);

	if (lock < 0)
		return fail_lock(call, lock, directory, error);
	switch (completeness_of(call, directory)) {
	case STORE_HAS: return 0;
	case STORE_HAS_PART:
		return add_found(call, store, lock, directory, &(struct additions){}, ret, error);
	default: return fill_image(call, store, lock, directory, ret, error);
	}
}

int fill_store(const struct fill_call *call, const char *directory, struct fill_result *ret,
	       struct view_error *error)
{
	cleanup_with(li_store_done) struct li_store *store = NULL;
	int r;

	*ret = (struct fill_result){};
	if (completeness_of(call, directory) != STORE_HAS) {
		r = li_store_open(directory, true, &store);
		if (r == -EPERM)
			return view_fail(error, MSG_STORE_UNSAFE, directory);
		if (r < 0)
			return view_fail(error, MSG_STORE, directory, strerror(-r));
		if (fill_locked(call, store, directory, ret, error) < 0)
			return -ECANCELED;
	}
	if (ret->added)
		return 0;
	r = store ? 0 : li_store_open(directory, false, &store);
	if (r == 0)
		r = li_store_find(store, &call->key, &ret->facts);
	return r < 0 ? view_fail(error, MSG_STORE, directory, strerror(-r)) : 0;
}
