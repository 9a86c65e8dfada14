/* SPDX-License-Identifier: Apache-2.0 */
/* A store in the working directory, and short ways to fill it. */
#pragma once

#include <limits.h>

#include "layerindex/store/store-dir.h"
#include "layerindex/store/store.h"
#include "tests/unit/fixture.h"

static inline void close_store(struct li_store **store)
{
	li_store_close(*store);
}
DEFINE_CLEANUP(struct li_store *, close_store)

static inline struct li_store *open_store(const char *path)
{
	struct li_store *store = NULL;
	int r = li_store_open(path, true, &store);

	if (r < 0)
		fail_msg("%s: %s", path, strerror(-r));
	return store;
}

static inline struct li_store_key chain_of(uint8_t number)
{
	return (struct li_store_key){LI_STORE_CHAIN, {{number, number, number}}};
}

/* Adds what *source* holds, or that nothing is there if it is NULL, at *path*. */
static inline int add_file(const struct li_store *store, uint8_t chain, const char *path,
			   const char *source, const struct li_store_limits *limits)
{
	cleanup_with(li_store_facts_done) struct li_store_facts facts = {};
	cleanup_close int fd = source ? open(source, O_RDONLY | O_CLOEXEC) : -EBADF;
	struct li_store_facts image = {.key = chain_of(chain), .layers = 3, .diff_ids = 3};
	struct li_store_addition addition = {.answer = {.path = path}, .fd = fd};
	cleanup_close int lock = li_store_lock(store, &image.key, NULL);
	struct stat st;

	if (lock < 0)
		return lock;
	if (source) {
		if (fd < 0 || fstat(fd, &st) < 0)
			fail_msg("%s: %s", source, strerror(errno));
		li_store_answer_set(&addition.answer, &st);
	}
	return li_store_add(store, lock, &image, &addition, 1, limits, NULL, &facts);
}

static inline void must_add(const struct li_store *store, uint8_t chain, const char *path,
			    const char *content)
{
	if (content)
		make_file("source", content);
	same_int(path, add_file(store, chain, path, content ? "source" : NULL, &LI_STORE_UNLIMITED),
		 0);
}

/* Opens what is filed at *path*. Returns: a descriptor, or what that failed with. */
static inline int open_filed(const struct li_store *store, uint8_t chain, const char *path)
{
	cleanup_with(li_store_facts_done) struct li_store_facts facts = {};
	struct li_store_key key = chain_of(chain);
	int r = li_store_find(store, &key, &facts);
	const struct li_store_answer *answer;

	if (r < 0)
		return r;
	answer = li_store_facts_find(&facts, path);
	return answer ? li_store_object_open(store, answer) : -ENODATA;
}

static inline void must_hold(const struct li_store *store, uint8_t chain, const char *path,
			     const char *content)
{
	cleanup_close int fd = open_filed(store, chain, path);

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(-fd));
	same_str(path, content_of(fd), content);
}

static inline void object_path(const char *content, char ret[static 128])
{
	struct li_digest digest;
	struct sha256 hash;

	sha256_start(&hash);
	sha256_add(&hash, content, strlen(content));
	sha256_finish(&hash, digest.bytes);
	memcpy(ret, "store/objects/", 15);
	store_object_name(&digest, ret + 14);
}

static inline void chain_path(uint8_t chain, char ret[static 128])
{
	struct li_store_key key = chain_of(chain);

	memcpy(ret, "store/chains/", 14);
	li_digest_print(&key.id, ret + 13);
}

/* Sets when an image was used last. */
static inline void set_used(uint8_t chain, time_t seconds_ago)
{
	const struct timespec times[] = {{.tv_sec = time(NULL) - seconds_ago},
					 {.tv_sec = time(NULL) - seconds_ago}};
	char path[128];

	chain_path(chain, path);
	assert_return_code(utimensat(AT_FDCWD, path, times, 0), errno);
}

/* How many files are in the store, but its lock. */
static inline size_t count_files(const char *directory)
{
	DIR *stream = opendir(directory);
	const struct dirent *entry;
	size_t count = 0;

	while (stream && (entry = readdir(stream))) {
		char path[PATH_MAX];
		struct stat st;

		snprintf(path, sizeof(path), "%.2000s/%s", directory, entry->d_name);
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    strcmp(entry->d_name, "lock") == 0 || lstat(path, &st) < 0)
			continue;
		count += S_ISDIR(st.st_mode) ? count_files(path) : 1;
	}
	if (stream)
		closedir(stream);
	return count;
}
