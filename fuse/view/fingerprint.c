/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each part comes with its length or with their number, so that no two lists of parts are the same
 * bytes. Numbers are hashed as this machine has them: both calls are made on it.
 *
 * Every start computes one, over a kilobyte for 20 layers: to ask a virtual machine's processor for
 * its instructions would take longer than to do without them.
 */
#include "fuse/view/fingerprint.h"

#include <string.h>

#include "layerindex/hash/digest.h"

static void add_number(struct sha256 *hash, uint64_t number)
{
	sha256_add(hash, &number, sizeof(number));
}

/* NULL is another string than "". */
static void add_string(struct sha256 *hash, const char *string)
{
	add_number(hash, string ? strlen(string) + 1 : 0);
	if (string)
		sha256_add(hash, string, strlen(string));
}

static void add_time(struct sha256 *hash, const struct timespec *time)
{
	add_number(hash, (uint64_t)time->tv_sec);
	add_number(hash, (uint64_t)time->tv_nsec);
}

static void add_layers(struct sha256 *hash, const struct li_stack *stack)
{
	size_t layers = li_stack_size(stack);

	add_number(hash, li_stack_is_userxattr(stack));
	add_number(hash, layers);
	for (size_t i = 0; i < layers; i++) {
		struct li_root root = li_stack_root(stack, i);

		add_number(hash, root.device);
		add_number(hash, root.inode);
		add_time(hash, &root.birth);
		add_time(hash, &root.change);
	}
}

static void add_map(struct sha256 *hash, const struct idmap *map)
{
	add_number(hash, map->count);
	for (size_t i = 0; i < map->count; i++) {
		add_number(hash, map->ranges[i].container);
		add_number(hash, map->ranges[i].host);
		add_number(hash, map->ranges[i].size);
	}
}

/* What add_layers() hashes begins with 0 or 1. */
static void add_stored(struct sha256 *hash, const struct li_store_key *key)
{
	add_number(hash, UINT64_MAX - key->by);
	sha256_add(hash, &key->id, sizeof(key->id));
}

void view_fingerprint(const struct view *view, const struct options *options,
		      char ret[static FINGERPRINT_SIZE])
{
	struct li_digest digest;
	struct sha256 hash;

	sha256_start_by(&hash, SHA256_PORTABLE);
	add_string(&hash, "urunc-viewfs 1");
	add_string(&hash, options->id);
	if (view->image.layers > 0)
		add_layers(&hash, view->image.stack);
	else
		add_stored(&hash, &view->image.key);
	add_number(&hash, view->artifact_count);
	for (size_t i = 0; i < view->artifact_count; i++) {
		add_number(&hash, view->artifacts[i].roles);
		add_string(&hash, view->artifacts[i].path);
	}
	add_map(&hash, &view->uids);
	add_map(&hash, &view->gids);
	add_number(&hash, (uint64_t)view->uid);
	add_number(&hash, (uint64_t)view->gid);
	add_number(&hash, (uint64_t)view->mode);
	add_number(&hash, options->decode);
	sha256_finish(&hash, digest.bytes);
	li_digest_print(&digest, ret);
}
