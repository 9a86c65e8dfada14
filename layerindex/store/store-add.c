/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling: what takes long, copying and hashing, is done before any name is made; then objects are
 * linked and the facts published, under the lock that keeps eviction out for these moments.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "layerindex/store/store-dir.h"

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

/* What is filed already and still good; nothing, where it is damaged or missing. */
static int load(const struct li_store *store, const struct li_store_key *key,
		struct li_store_facts *ret)
{
	int r = li_store_find(store, key, ret);

	if (r == -ENOENT || r == -EINVAL || r == -EPROTO)
		return 0;
	if (r == 0)
		keep_good(store, ret);
	return r;
}

/* An artifact's bytes have to be there, and their number and hash are not the caller's to say. */
static bool addition_is_sound(const struct li_store_addition *addition)
{
	const struct li_store_answer *answer = &addition->answer;

	return answer->path && store_path_is_sound(answer->path) &&
	       (answer->kind == LI_STORE_ARTIFACT) == (addition->fd >= 0);
}

/* Copies what has no answer yet. */
static int make_copies(const struct li_store *store, const struct li_store_facts *old,
		       const struct li_store_addition *additions, size_t n,
		       const struct li_store_progress *progress, struct copies *ret)
{
	struct store_meter meter = {.progress = progress};

	for (size_t i = 0; i < n; i++) {
		struct store_copy *copy = &ret->items[ret->count];
		int r = 0;

		if (li_store_facts_find(old, additions[i].answer.path))
			continue;
		*copy = (struct store_copy){.file = STORE_NEW_INIT};
		if (additions[i].fd >= 0)
			r = store_copy_make(store, additions[i].fd, &meter, copy);
		if (r < 0)
			return r;
		ret->of[ret->count++] = &additions[i];
	}
	return 0;
}

/* Adds how many answers, and bytes to be copied, are new. */
static int count_new(const struct li_store_facts *old, const struct li_store_addition *additions,
		     size_t n, size_t *ret_count, uint64_t *ret_bytes)
{
	for (size_t i = 0; i < n; i++) {
		struct stat st;

		if (!addition_is_sound(&additions[i]))
			return -EINVAL;
		if (li_store_facts_find(old, additions[i].answer.path))
			continue;
		++*ret_count;
		if (additions[i].fd < 0)
			continue;
		if (fstat(additions[i].fd, &st) < 0)
			return -errno;
		*ret_bytes += (uint64_t)st.st_size;
	}
	return old->count + *ret_count > LI_STORE_PATHS_MAX ? -E2BIG : 0;
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
	facts->key = image->key;
	if (facts->count == 0 || facts->source < image->source)
		facts->source = image->source;
	if (image->layers > 0)
		facts->layers = image->layers;
	if (image->diff_ids > 0)
		facts->diff_ids = image->diff_ids;
}

/* Links the copies and files all answers, beside those that are still there now. */
static int publish(const struct li_store *store, const struct li_store_facts *image,
		   const struct copies *copies, struct li_store_facts *ret)
{
	cleanup_with(li_store_facts_done) struct li_store_facts facts = {};
	cleanup_close int lock = store_lock_all(store, false);
	int r = lock < 0 ? lock : load(store, &image->key, &facts);

	if (r < 0)
		return r;
	merge_image(&facts, image);
	if (facts.count + copies->count > LI_STORE_PATHS_MAX)
		return -E2BIG;
	for (size_t i = 0; i < copies->count; i++) {
		const struct store_copy *copy = &copies->items[i];
		struct li_store_answer answer = copies->of[i]->answer;

		answer.size = copy->size;
		answer.digest = copy->digest;
		if (answer.kind == LI_STORE_ARTIFACT) {
			r = store_copy_publish(store, copy, &answer.object);
			if (r < 0)
				return r;
		}
		facts.answers[facts.count++] = answer;
	}
	return write_facts(store, &facts, ret);
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

int li_store_add(const struct li_store *store, int lock, const struct li_store_facts *image,
		 const struct li_store_addition *additions, size_t n,
		 const struct li_store_limits *limits, const struct li_store_progress *progress,
		 struct li_store_facts *ret)
{
	cleanup_with(li_store_facts_done) struct li_store_facts old = {};
	cleanup_with(copies_done) struct copies copies = {};
	uint64_t bytes = 0;
	size_t count = 0;
	int r = check_image(image, additions, n);

	if (r < 0)
		return r;
	if (fcntl(lock, F_GETFD) < 0)
		return -EBADF;
	if (store->objects < 0 || store->lists[image->key.by] < 0)
		return -ENOENT;
	r = load(store, &image->key, &old);
	if (r == 0)
		r = count_new(&old, additions, n, &count, &bytes);
	if (r < 0)
		return r;
	if (count == 0 && old.count > 0) {
		*ret = TAKE(old, (struct li_store_facts){});
		return 0;
	}
	r = bytes > 0 ? store_make_room(store, limits, bytes) : 0;
	if (r == 0)
		r = make_copies(store, &old, additions, n, progress, &copies);
	return r < 0 ? r : publish(store, image, &copies, ret);
}
