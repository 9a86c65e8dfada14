/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has to go. All of it is read first, under the lock that keeps publishing out; then images
 * go, oldest first, and objects that no image names any more. An image's age is that of its facts,
 * an object has none.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "layerindex/array.h"
#include "layerindex/store/store-dir.h"

enum { FREE_PART = 10 }; /* of the filesystem: one of so many stays free */

struct object {
	struct li_digest digest;
	uint64_t bytes;
	size_t images; /* that name it */
};

struct image {
	int list;
	char name[SHA256_DIGITS + 1];
	struct li_digest chain;
	bool removed, is_layer;
	time_t used;
	uint64_t bytes;
	size_t count;
	struct li_digest digests[LI_STORE_PATHS_MAX];
};

struct eviction {
	const struct li_store *store;
	bool dry;
	bool repairs; /* images go whose objects are not what they say */
	int list;     /* that is being read */
	int layers;   /* the directory of name logs */
	time_t now;
	struct object *objects;
	struct image *images;
	size_t object_count, object_room, image_count, image_room;
	struct li_store_evicted sum;
};

static void eviction_done(struct eviction *eviction)
{
	free(eviction->objects);
	free(eviction->images);
}
DEFINE_CLEANUP(struct eviction, eviction_done)

static uint64_t bytes_of(const struct stat *st)
{
	return (uint64_t)st->st_blocks * 512;
}

/* Removes a file, or would, and counts it. */
static int remove_file(struct eviction *eviction, int at, const char *name, size_t *counter,
		       uint64_t bytes)
{
	if (!eviction->dry && unlinkat(at, name, 0) < 0 && errno != ENOENT)
		return -errno;
	++*counter;
	eviction->sum.bytes += bytes;
	eviction->sum.kept -= bytes;
	return 0;
}

static int compare_objects(const void *a, const void *b)
{
	const struct object *one = a, *other = b;

	return memcmp(&one->digest, &other->digest, sizeof(one->digest));
}

static struct object *find_object(const struct eviction *eviction, const struct li_digest *digest)
{
	const struct object key = {.digest = *digest};

	if (eviction->object_count == 0)
		return NULL;
	return bsearch(&key, eviction->objects, eviction->object_count, sizeof(key),
		       compare_objects);
}

/* A temporary name is of a writer that died, unless one has it open. */
static int read_temporary(struct eviction *eviction, int at, const char *name)
{
	cleanup_close int fd = -EBADF;
	struct stat st;

	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	eviction->sum.kept += bytes_of(&st);
	fd = store_file_open(at, name, &st);
	if (fd >= 0 && store_is_in_use(fd))
		return 0;
	return remove_file(eviction, at, name, &eviction->sum.temporary, bytes_of(&st));
}

static int read_object(int directory, const char *name, void *context)
{
	struct eviction *eviction = context;
	struct object *objects, *object;
	struct stat st;

	if (new_file_is_temporary(name))
		return read_temporary(eviction, directory, name);
	if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	objects = array_grow(eviction->objects, eviction->object_count, &eviction->object_room,
			     sizeof(*objects));
	if (!objects)
		return -ENOMEM;
	eviction->objects = objects;
	object = &objects[eviction->object_count];
	*object = (struct object){.bytes = bytes_of(&st)};
	if (li_digest_parse(name, &object->digest) < 0)
		return 0;
	eviction->object_count++;
	eviction->sum.kept += object->bytes;
	return 0;
}

/* Records the objects that an image names, each of them once. */
static void count_objects(struct eviction *eviction, struct image *image,
			  const struct li_store_facts *facts)
{
	for (size_t i = 0; i < facts->count; i++) {
		const struct li_digest *digest = &facts->answers[i].digest;
		struct object *object = find_object(eviction, digest);
		size_t n = 0;

		while (n < image->count && !li_digest_equal(&image->digests[n], digest))
			n++;
		if (facts->answers[i].kind != LI_STORE_ARTIFACT || !object || n < image->count)
			continue;
		object->images++;
		image->digests[image->count++] = *digest;
	}
}

/* Something that ages, a file of the list that is read. Returns: borrowed; NULL: no memory. */
static struct image *add_image(struct eviction *eviction, const char *name, const struct stat *st)
{
	struct image *images = array_grow(eviction->images, eviction->image_count,
					  &eviction->image_room, sizeof(*images));
	struct image *image;

	if (!images)
		return NULL;
	eviction->images = images;
	image = &images[eviction->image_count++];
	*image = (struct image){.list = eviction->list, .bytes = bytes_of(st)};
	memcpy(image->name, name, sizeof(image->name));
	/* A clock that was set back: used now. */
	image->used = st->st_mtim.tv_sec < eviction->now ? st->st_mtim.tv_sec : eviction->now;
	return image;
}

static int read_image(const char *name, void *context)
{
	struct eviction *eviction = context;
	cleanup_with(li_store_facts_done) struct li_store_facts facts = {};
	struct image *image;
	struct stat st;
	int r;

	if (new_file_is_temporary(name))
		return read_temporary(eviction, eviction->list, name);
	if (!store_name_is_digest(name))
		return 0;
	if (fstatat(eviction->list, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	eviction->sum.kept += bytes_of(&st);
	r = store_facts_read(eviction->list, name, &facts, &st);
	if (r == 0)
		r = eviction->repairs ? store_has_objects(eviction->store, &facts) : 1;
	if (r == 0 || r == -EINVAL || r == -EPROTO)
		return remove_file(eviction, eviction->list, name, &eviction->sum.images,
				   bytes_of(&st));
	if (r < 0)
		return r;
	image = add_image(eviction, name, &st);
	if (!image)
		return -ENOMEM;
	image->chain = facts.chain;
	count_objects(eviction, image, &facts);
	return 0;
}

/* A failure that is over counts as a file that a writer left. */
static int read_failure(const char *name, void *context)
{
	struct eviction *eviction = context;
	int at = eviction->list;
	struct stat st;

	if (new_file_is_temporary(name))
		return read_temporary(eviction, at, name);
	if (!store_name_is_digest(name) || fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	eviction->sum.kept += bytes_of(&st);
	if (!store_failure_is_over(at, name))
		return 0;
	return remove_file(eviction, at, name, &eviction->sum.temporary, bytes_of(&st));
}

/* A name log: as an image that names no object. */
static int read_layer(const char *name, void *context)
{
	struct eviction *eviction = context;
	struct image *image;
	struct stat st;

	if (new_file_is_temporary(name))
		return read_temporary(eviction, eviction->list, name);
	if (!store_name_is_digest(name))
		return 0;
	if (fstatat(eviction->list, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	image = add_image(eviction, name, &st);
	if (!image)
		return -ENOMEM;
	image->is_layer = true;
	eviction->sum.kept += bytes_of(&st);
	return 0;
}

static int read_all(struct eviction *eviction)
{
	cleanup_close int failed = store_failed_open(eviction->store, false);
	int r = store_each_object(eviction->store, read_object, eviction);

	if (eviction->object_count > 0)
		qsort(eviction->objects, eviction->object_count, sizeof(*eviction->objects),
		      compare_objects);
	for (size_t i = 0; i < 2 && r == 0; i++) {
		eviction->list = eviction->store->lists[i];
		r = store_each_name(eviction->list, read_image, eviction);
	}
	eviction->list = eviction->layers;
	if (r == 0)
		r = store_each_name(eviction->layers, read_layer, eviction);
	eviction->list = failed;
	return r == 0 ? store_each_name(failed, read_failure, eviction) : r;
}

static bool object_is_in_use(const struct eviction *eviction, const struct li_digest *digest)
{
	struct stat st;
	cleanup_close int fd = store_object_file(eviction->store, digest, &st);

	return fd >= 0 && store_is_in_use(fd);
}

/* Whether an image of another chain names an object of this one. */
static bool is_shared(const struct eviction *eviction, const struct image *image,
		      const struct li_digest *digest)
{
	for (size_t i = 0; i < eviction->image_count; i++) {
		const struct image *other = &eviction->images[i];

		if (other->removed || li_digest_equal(&other->chain, &image->chain))
			continue;
		for (size_t j = 0; j < other->count; j++)
			if (li_digest_equal(&other->digests[j], digest))
				return true;
	}
	return false;
}

/*
 * A view has all artifacts of its image open that it shows. An object that other images name too,
 * the same urunc.json say, does not tell whose view that is.
 */
static bool image_is_in_use(const struct eviction *eviction, const struct image *image)
{
	size_t in_use = 0;

	for (size_t i = 0; i < image->count; i++) {
		if (!object_is_in_use(eviction, &image->digests[i]))
			continue;
		if (!is_shared(eviction, image, &image->digests[i]))
			return true;
		in_use++;
	}
	return in_use > 0 && in_use == image->count;
}

static int remove_object(struct eviction *eviction, const struct object *object)
{
	char name[OBJECT_NAME + 1];

	if (object_is_in_use(eviction, &object->digest))
		return 0;
	store_object_name(&object->digest, name);
	return remove_file(eviction, eviction->store->objects, name, &eviction->sum.objects,
			   object->bytes);
}

static int remove_image(struct eviction *eviction, struct image *image)
{
	size_t *counter = image->is_layer ? &eviction->sum.layers : &eviction->sum.images;
	int r = remove_file(eviction, image->list, image->name, counter, image->bytes);

	image->removed = true;
	for (size_t i = 0; i < image->count && r == 0; i++) {
		struct object *object = find_object(eviction, &image->digests[i]);

		if (object && --object->images == 0)
			r = remove_object(eviction, object);
	}
	return r;
}

static int compare_images(const void *a, const void *b)
{
	const struct image *one = a, *other = b;

	return (one->used > other->used) - (one->used < other->used);
}

/* How many bytes more must be free for *need* more, with a tenth of the filesystem left. */
static int missing_bytes(const struct li_store *store, uint64_t need, uint64_t *ret)
{
	uint64_t wanted, is_free;
	struct statvfs fs;

	if (fstatvfs(store->fd, &fs) < 0)
		return -errno;
	wanted = (uint64_t)fs.f_blocks / FREE_PART * fs.f_frsize + need;
	is_free = (uint64_t)fs.f_bavail * fs.f_frsize;
	*ret = wanted > is_free ? wanted - is_free : 0;
	return 0;
}

static int evict(struct eviction *eviction, const struct li_store_limits *limits, uint64_t need)
{
	uint64_t most = limits->bytes > need ? limits->bytes - need : 0, missing = 0;
	int r = read_all(eviction);

	for (size_t i = 0; i < eviction->object_count && r == 0; i++)
		if (eviction->objects[i].images == 0)
			r = remove_object(eviction, &eviction->objects[i]);
	if (r == 0)
		r = missing_bytes(eviction->store, need, &missing);
	/* Not in vain. */
	if (r == 0 && need > 0 && missing > eviction->sum.kept)
		return -ENOSPC;
	/* What was removed until now is free already, but in a dry run. */
	if (missing > 0 && !eviction->dry)
		missing += eviction->sum.bytes;
	if (eviction->image_count > 0)
		qsort(eviction->images, eviction->image_count, sizeof(*eviction->images),
		      compare_images);
	for (size_t i = 0; i < eviction->image_count && r == 0; i++) {
		struct image *image = &eviction->images[i];
		bool is_old = eviction->now - image->used > limits->age;
		bool is_full = eviction->sum.kept > most || eviction->sum.bytes < missing;

		if (!is_old && !is_full)
			break;
		if (!image_is_in_use(eviction, image))
			r = remove_image(eviction, image);
	}
	return r;
}

/* Without a *need* it is not for a writer, which may be about to repair an image. */
static int run(const struct li_store *store, const struct li_store_limits *limits, uint64_t need,
	       bool dry, struct li_store_evicted *ret)
{
	cleanup_close int layers = store_layers_open(store, false);
	cleanup_with(eviction_done) struct eviction eviction = {
		.store = store,
		.layers = layers,
		.dry = dry,
		.repairs = need == 0,
		.now = time(NULL),
	};
	cleanup_close int lock = store_lock_all(store, true);
	int r = lock < 0 ? lock : evict(&eviction, limits, need);

	if (r == 0)
		*ret = eviction.sum;
	return r;
}

int li_store_evict(const struct li_store *store, const struct li_store_limits *limits, bool dry,
		   struct li_store_evicted *ret)
{
	return run(store, limits, 0, dry, ret);
}

int store_make_room(const struct li_store *store, const struct li_store_limits *limits,
		    uint64_t need)
{
	struct li_store_evicted evicted = {};
	uint64_t missing = 0;
	int r;

	if (need > limits->bytes)
		return -ENOSPC;
	/* Without a limit, and with room, all of the store need not be read. */
	r = missing_bytes(store, need, &missing);
	if (r < 0 || (missing == 0 && limits->bytes == UINT64_MAX))
		return r;
	r = run(store, limits, need, false, &evicted);
	/* Others file and evict all the time: it is done when one of them has the next turn. */
	if (r < 0 && r != -EAGAIN)
		return r;
	if (r == 0 && evicted.kept > limits->bytes - need)
		return -ENOSPC;
	r = missing_bytes(store, need, &missing);
	return r == 0 && missing > 0 ? -ENOSPC : r;
}
