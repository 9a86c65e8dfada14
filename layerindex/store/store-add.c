/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling: what takes long, copying and hashing, is done before any name is made; then objects are
 * linked and the facts published, under the lock that keeps eviction out for these moments.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "layerindex/store/store-dir.h"

enum { TRIES_MAX = 3 }; /* of an addition whose older parts are evicted meanwhile */

void li_store_answer_set(struct li_store_answer *answer, const struct stat *st)
{
	answer->kind = LI_STORE_ARTIFACT;
	answer->mode = st->st_mode & 07777;
	answer->uid = st->st_uid;
	answer->gid = st->st_gid;
	answer->modified = st->st_mtim;
}

struct copies {
	size_t count;
	struct store_copy items[LI_STORE_PATHS_MAX];
	const struct li_store_addition *of[LI_STORE_PATHS_MAX];
};

static void copies_done(struct copies *copies)
{
	for (size_t i = 0; i < copies->count; i++)
		store_new_done(&copies->items[i].file);
}
DEFINE_CLEANUP(struct copies, copies_done)

/* Keeps the answers whose objects are there. */
static void keep_good(const struct li_store *store, struct li_store_facts *facts)
{
	size_t kept = 0;

	for (size_t i = 0; i < facts->count; i++) {
		struct li_store_answer *answer = &facts->answers[i];

		if (answer->kind == LI_STORE_ARTIFACT) {
			cleanup_close int fd = li_store_object_open(store, answer);

			if (fd < 0)
				continue;
		}
		facts->answers[kept++] = *answer;
	}
	facts->count = kept;
}

/*
 * What is known of an image, by enum li_store_by. An image of a manifest has two files of facts:
 * what its layers showed goes into both, but what a table of contents said by manifest only. What
 * is filed by chain never goes to a manifest: any configuration may claim any chain.
 */
struct filed {
	bool is_key[2], is_written[2];
	struct li_store_facts facts[2];
};

static void filed_done(struct filed *filed)
{
	for (size_t by = 0; by < 2; by++)
		li_store_facts_done(&filed->facts[by]);
}
DEFINE_CLEANUP(struct filed, filed_done)

static struct filed filed_of(const struct li_store_facts *image)
{
	static const struct li_digest unknown;
	bool by_chain = image->key.by == LI_STORE_CHAIN;
	bool has_chain = by_chain || !li_digest_equal(&image->chain, &unknown);

	return (struct filed){
		.is_key = {[LI_STORE_CHAIN] = has_chain, [LI_STORE_MANIFEST] = !by_chain},
		.is_written = {[LI_STORE_CHAIN] = has_chain && image->source != LI_STORE_TOC,
			       [LI_STORE_MANIFEST] = !by_chain},
	};
}

static struct li_store_key key_of(const struct li_store_facts *image, enum li_store_by by)
{
	return by == LI_STORE_CHAIN ? (struct li_store_key){by, image->chain} : image->key;
}

/* Reads what is filed already and still good; nothing, where it is damaged or missing. */
static int load(const struct li_store *store, const struct li_store_facts *image,
		struct filed *filed)
{
	for (enum li_store_by by = LI_STORE_CHAIN; by <= LI_STORE_MANIFEST; by++) {
		struct li_store_key key = key_of(image, by);
		int r = filed->is_key[by] ? li_store_find(store, &key, &filed->facts[by]) : 0;

		if (r < 0 && r != -ENOENT && r != -EINVAL && r != -EPROTO)
			return r;
		/* What is certain replaces what a table of contents said. */
		if (filed->facts[by].source == LI_STORE_TOC && image->source != LI_STORE_TOC)
			li_store_facts_done(&filed->facts[by]);
		keep_good(store, &filed->facts[by]);
	}
	return 0;
}

/* Whether all files of facts that are written have an answer. */
static bool is_filed(const struct filed *filed, const char *path)
{
	for (size_t by = 0; by < 2; by++)
		if (filed->is_written[by] && !li_store_facts_find(&filed->facts[by], path))
			return false;
	return true;
}

/* An artifact's bytes have to be there, and their number and hash are not the caller's to say. */
static bool addition_is_sound(const struct li_store_addition *addition)
{
	const struct li_store_answer *answer = &addition->answer;

	return answer->path && store_path_is_sound(answer->path) &&
	       (answer->kind == LI_STORE_ARTIFACT) == (addition->fd >= 0);
}

/* Copies what has no answer yet. */
static int make_copies(const struct li_store *store, const struct filed *old,
		       const struct li_store_addition *additions, size_t n,
		       const struct li_store_progress *progress, struct copies *ret)
{
	struct store_meter meter = {.progress = progress};

	for (size_t i = 0; i < n; i++) {
		struct store_copy *copy = &ret->items[ret->count];
		int r = 0;

		if (is_filed(old, additions[i].answer.path))
			continue;
		*copy = (struct store_copy){.file = STORE_NEW_INIT};
		if (additions[i].fd >= 0)
			r = store_copy_make(store, &additions[i], &meter, copy);
		if (r < 0)
			return r;
		ret->of[ret->count++] = &additions[i];
	}
	return 0;
}

/* Adds how many answers, and bytes to be copied, are new. */
static int count_new(const struct filed *old, enum li_store_by by,
		     const struct li_store_addition *additions, size_t n, uint64_t *ret_bytes)
{
	size_t count = old->facts[by].count;

	for (size_t i = 0; i < n; i++) {
		struct stat st;

		if (!addition_is_sound(&additions[i]))
			return -EINVAL;
		if (li_store_facts_find(&old->facts[by], additions[i].answer.path))
			continue;
		count++;
		if (additions[i].fd < 0 || is_filed(old, additions[i].answer.path))
			continue;
		if (fstat(additions[i].fd, &st) < 0)
			return -errno;
		*ret_bytes += (uint64_t)st.st_size;
	}
	return count > LI_STORE_PATHS_MAX ? -E2BIG : 0;
}

static int write_facts(const struct li_store *store, const struct li_store_facts *facts,
		       struct li_store_facts *ret)
{
	cleanup_with(li_store_facts_done) struct li_store_facts again = {};
	cleanup_with(store_new_done) struct store_new file = STORE_NEW_INIT;
	int list = store->lists[facts->key.by];
	cleanup_free void *bytes = NULL;
	char name[SHA256_DIGITS + 1];
	size_t size = 0;
	ssize_t n;
	int r = store_facts_encode(facts, &bytes, &size);

	if (r == 0)
		r = store_facts_decode(bytes, size, &again);
	if (r == 0)
		r = store_new_open(store, list, &file);
	if (r < 0)
		return r;
	n = write(file.fd, bytes, size);
	if (n < 0)
		return -errno;
	if ((size_t)n < size)
		return -ENOSPC;
	li_digest_print(&facts->key.id, name);
	r = new_file_link(file.fd, list, name, true);
	if (r < 0)
		return r;
	*ret = TAKE(again, (struct li_store_facts){});
	return 0;
}

/* What is said of the image as a whole; of two sources the one that is believed less. */
static void merge_image(struct li_store_facts *facts, const struct li_store_facts *image)
{
	if (facts->count == 0 || facts->source < image->source)
		facts->source = image->source;
	if (image->layers > 0)
		facts->layers = image->layers;
	if (image->diff_ids > 0)
		facts->diff_ids = image->diff_ids;
}

/* Adds answers for paths that have none, as far as there is room. */
static void merge_answers(struct li_store_facts *facts, const struct li_store_answer *answers,
			  size_t n)
{
	for (size_t i = 0; i < n && facts->count < LI_STORE_PATHS_MAX; i++)
		if (!li_store_facts_find(facts, answers[i].path))
			facts->answers[facts->count++] = answers[i];
}

/* Links the copies. Each answer is complete then. */
static int link_copies(const struct li_store *store, const struct copies *copies,
		       struct li_store_answer ret[LI_STORE_PATHS_MAX])
{
	for (size_t i = 0; i < copies->count; i++) {
		const struct store_copy *copy = &copies->items[i];

		ret[i] = copies->of[i]->answer;
		ret[i].size = copy->size;
		ret[i].digest = copy->digest;
		if (ret[i].kind == LI_STORE_ARTIFACT) {
			int r = store_copy_publish(store, copy, &ret[i].object);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* Files the answers under one key, beside those that are still there now. */
static int publish_by(const struct li_store *store, const struct li_store_facts *image,
		      const struct filed *filed, enum li_store_by by,
		      const struct li_store_answer *fresh, size_t n, struct li_store_facts *ret)
{
	const struct li_store_facts *of_manifest = &filed->facts[LI_STORE_MANIFEST];
	struct li_store_facts facts = filed->facts[by];

	facts.strings = NULL;
	facts.key = key_of(image, by);
	facts.chain = image->chain;
	merge_image(&facts, image);
	merge_answers(&facts, fresh, n);
	if (by == LI_STORE_CHAIN)
		merge_answers(&facts, of_manifest->answers, of_manifest->count);
	for (size_t i = 0; i < n; i++)
		if (!li_store_facts_find(&facts, fresh[i].path))
			return -E2BIG;
	return write_facts(store, &facts, ret);
}

/* Whether each path has an answer, filed or copied: one that was filed may have been evicted. */
static bool has_all(const struct filed *filed, const struct li_store_answer *fresh,
		    size_t fresh_count, const struct li_store_addition *additions, size_t n)
{
	struct li_store_facts copied = {.count = fresh_count};

	memcpy(copied.answers, fresh, fresh_count * sizeof(*fresh));
	for (size_t i = 0; i < n; i++)
		if (!is_filed(filed, additions[i].answer.path) &&
		    !li_store_facts_find(&copied, additions[i].answer.path))
			return false;
	return true;
}

/* Links the copies and files all answers. Returns: 0; -EAGAIN: what was filed is not now; -errno.
 */
static int publish(const struct li_store *store, const struct li_store_facts *image,
		   const struct copies *copies, const struct li_store_addition *additions, size_t n,
		   struct li_store_facts *ret)
{
	cleanup_with(filed_done) struct filed filed = filed_of(image);
	struct li_store_answer fresh[LI_STORE_PATHS_MAX];
	cleanup_close int lock = store_lock_all(store, false);
	int r = lock < 0 ? lock : 0;

	for (enum li_store_by by = LI_STORE_CHAIN; r == 0 && by <= LI_STORE_MANIFEST; by++) {
		struct li_store_key key = key_of(image, by);

		if (filed.is_written[by])
			r = store_lock_facts(lock, &key);
	}
	if (r == 0)
		r = load(store, image, &filed);
	if (r == 0)
		r = link_copies(store, copies, fresh);
	if (r == 0 && !has_all(&filed, fresh, copies->count, additions, n))
		r = -EAGAIN;
	for (enum li_store_by by = LI_STORE_CHAIN; r == 0 && by <= LI_STORE_MANIFEST; by++) {
		cleanup_with(li_store_facts_done) struct li_store_facts facts = {};

		if (!filed.is_written[by])
			continue;
		r = publish_by(store, image, &filed, by, fresh, copies->count, &facts);
		if (r == 0 && by == image->key.by)
			*ret = TAKE(facts, (struct li_store_facts){});
	}
	return r;
}

/* As the limits of the answers are those of the format, an encoder says what is wrong with them. */
static int check_image(const struct li_store_facts *image,
		       const struct li_store_addition *additions, size_t n)
{
	struct li_store_facts facts = *image;
	cleanup_free void *bytes = NULL;
	size_t size;

	if (n > LI_STORE_PATHS_MAX)
		return -E2BIG;
	facts.count = n;
	for (size_t i = 0; i < n; i++)
		facts.answers[i] = additions[i].answer;
	return store_facts_encode(&facts, &bytes, &size);
}

/* One try. Returns: as li_store_add(); -EAGAIN: what was filed was evicted meanwhile. */
static int add_once(const struct li_store *store, const struct li_store_facts *image,
		    const struct li_store_addition *additions, size_t n,
		    const struct li_store_limits *limits, const struct li_store_progress *progress,
		    struct li_store_facts *ret)
{
	cleanup_with(filed_done) struct filed old = filed_of(image);
	cleanup_with(copies_done) struct copies copies = {};
	uint64_t bytes = 0;
	int r = load(store, image, &old);

	if (r == 0)
		r = count_new(&old, image->key.by, additions, n, &bytes);
	if (r == 0 && bytes > 0)
		r = store_make_room(store, limits, bytes);
	if (r == 0)
		r = make_copies(store, &old, additions, n, progress, &copies);
	return r < 0 ? r : publish(store, image, &copies, additions, n, ret);
}

int li_store_add(const struct li_store *store, int lock, const struct li_store_facts *given,
		 const struct li_store_addition *additions, size_t n,
		 const struct li_store_limits *limits, const struct li_store_progress *progress,
		 struct li_store_facts *ret)
{
	struct li_store_facts image = *given;
	int r;

	if (image.key.by == LI_STORE_CHAIN)
		image.chain = image.key.id;
	r = check_image(&image, additions, n);
	if (r < 0)
		return r;
	if (fcntl(lock, F_GETFD) < 0)
		return -EBADF;
	if (store->objects < 0 || store->lists[LI_STORE_CHAIN] < 0 ||
	    store->lists[LI_STORE_MANIFEST] < 0)
		return -ENOENT;
	r = -EAGAIN;
	for (int tries = 0; r == -EAGAIN && tries < TRIES_MAX; tries++)
		r = add_once(store, &image, additions, n, limits, progress, ret);
	return r;
}
