/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/source/stored.h"

#include <errno.h>

#include "fuse/base/json.h"
#include "fuse/base/messages.h"

/* Asks the store; what was said of a miss before is dropped. */
static int open_by(enum li_store_by by, const struct li_digest *id, const struct options *options,
		   struct image *ret, struct view_error *error)
{
	struct li_store_key key = {by, *id};

	error->code = CODE_NONE;
	return image_open_stored(&key, options->store, false, ret, error);
}

/* Whether *found* is the chain id that was given, if one was. Returns: 0, or < 0 with *error*. */
static int check_chain(const struct source *source, const struct li_digest *found,
		       struct view_error *error)
{
	char text[DIGEST_TEXT_SIZE];

	if (!source->chain.given || li_digest_equal(found, &source->chain.digest))
		return 0;
	digest_print(found, text);
	return view_fail(error, MSG_CHAIN, text);
}

static int open_by_manifest(struct source *source, const struct li_digest *manifest,
			    const struct options *options, struct image *ret,
			    struct view_error *error)
{
	int r = open_by(LI_STORE_MANIFEST, manifest, options, ret, error);

	if (r < 0)
		return r;
	source->manifest = (struct digest_wish){true, *manifest};
	return check_chain(source, &image_stored_facts(ret)->chain, error);
}

/* The store is asked for an image by what may be its manifest. */
struct question {
	struct source *source;
	const struct options *options;
	struct image *image;
	struct view_error *error;
	int r; /* what it answered last */
};

static bool is_answered(void *context, const struct li_digest *digest)
{
	struct question *question = context;

	question->r = open_by_manifest(question->source, digest, question->options, question->image,
				       question->error);
	if (question->r != IMAGE_MISS)
		return true;
	question->error->code = CODE_NONE;
	return false;
}

/* Reads as much of the blobs as it takes to know the manifest, and asks the store for that. */
static int open_by_blobs(struct source *source, const struct options *options, struct image *ret,
			 struct view_error *error)
{
	struct question question = {source, options, ret, error, IMAGE_MISS};
	cleanup_with(blobs_close) struct blobs blobs = BLOBS_INIT;
	cleanup_with(json_done) struct json_object *manifest = NULL;
	struct li_digest digest, chain;

	if (blobs_open(&source->blobs, &blobs, error) < 0)
		/* cppcheck-suppress memleak ; cleanup_with() frees it */
		return -ECANCELED;
	if (blobs_read_manifest(&blobs, is_answered, &question, &digest, &manifest, error) < 0)
		return -ECANCELED;
	if (!manifest)
		return question.r;
	source->manifest = (struct digest_wish){true, digest};
	if (source->chain.given &&
	    (blobs_read_chain(&blobs, manifest, &digest, NULL, &chain, error) < 0 ||
	     check_chain(source, &chain, error) < 0))
		return -ECANCELED;
	return open_by_manifest(source, &digest, options, ret, error);
}

static int open_named(struct source *source, const struct options *options, struct image *ret,
		      struct view_error *error)
{
	const struct digest_wish *named = &source->blobs.manifest;
	int r = named->given ? open_by_manifest(source, &named->digest, options, ret, error)
			     : IMAGE_MISS;

	if (r != IMAGE_MISS)
		return r;
	error->code = CODE_NONE;
	return open_by_blobs(source, options, ret, error);
}

/* The store has the image by its chain id: whether the blobs, as far as they are there, are its. */
static int check_blobs(struct source *source, const struct options *options,
		       struct view_error *error)
{
	cleanup_with(image_close) struct image other = {};
	VIEW_ERROR(fault);

	open_named(source, options, &other, &fault);
	return fault.code == CODE_EDIGEST ? view_fail(error, fault.code, "%s", fault.message) : 0;
}

int stored_open(struct source *source, const struct options *options, struct image *ret,
		struct view_error *error)
{
	int r = IMAGE_MISS;

	source->blobs.platform = options->platform;
	if (source->by_manifest)
		return open_by_manifest(source, &source->manifest.digest, options, ret, error);
	if (source->chain.given)
		r = open_by(LI_STORE_CHAIN, &source->chain.digest, options, ret, error);
	if (!source_has_blobs(source) || (r < 0 && r != IMAGE_MISS))
		return r;
	return r == 0 ? check_blobs(source, options, error)
		      : open_named(source, options, ret, error);
}
