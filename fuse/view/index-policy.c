/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/view/index-policy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fuse/base/log.h"
#include "fuse/base/messages.h"

/* The program's own directory, where mountpoints may lie too. */
static char *runtime_directory(void)
{
	const char *parent = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
	char *path;

	if (!parent || *parent != '/' || asprintf(&path, "%s/urunc-viewfs", parent) < 0)
		return NULL;
	return path;
}

char *index_default_directory(void)
{
	cleanup_free char *parent = runtime_directory();
	char *path;

	return parent && asprintf(&path, "%s/.index", parent) >= 0 ? path : NULL;
}

static bool ends_in(const char *text, size_t length, const char *end)
{
	size_t n = strlen(end);

	return length >= n && memcmp(text + length - n, end, n) == 0;
}

/* …/snapshots/N/fs: what containerd has committed it never changes. */
static bool is_snapshot(const char *path)
{
	size_t length = strlen(path);
	size_t digits = 0;

	if (!ends_in(path, length, "/fs"))
		return false;
	length -= strlen("/fs");
	while (length > 0 && path[length - 1] >= '0' && path[length - 1] <= '9') {
		length--;
		digits++;
	}
	return digits > 0 && ends_in(path, length, "/snapshots/");
}

static bool are_snapshots(const struct strings *layers)
{
	for (size_t i = 0; i < layers->count; i++)
		if (!is_snapshot(layers->items[i]))
			return false;
	return layers->count >= INDEX_LAYERS_MIN;
}

static int open_named(const char *path, bool make, struct li_index **ret, struct view_error *error)
{
	int r = li_index_open(path, make ? 1 : 0, ret);

	/* Only looked for: the next view will make it. */
	if (r == -ENOENT && !make)
		return 0;
	if (r == -EPERM)
		return view_fail(error, MSG_INDEX_DIR_UNSAFE, path);
	if (is_resource_error(r))
		return view_fail(error, MSG_SYSTEM, path, strerror(-r));
	return r < 0 ? view_fail(error, MSG_INDEX_OPEN, path, strerror(-r)) : 0;
}

/* The caller did not ask for it: that is no reason to fail. */
static void open_default(bool make, struct li_index **ret)
{
	cleanup_free char *path = index_default_directory();
	/* The program's own directory may be missing too. */
	int r = path ? li_index_open(path, make ? 2 : 0, ret) : -ENOENT;

	if (r == -EPERM)
		log_warn("layer index '%s' is not used: it belongs to another user, or other "
			 "users may write to it",
			 path);
	else if (r < 0)
		log_debug("no layer index: %s", strerror(-r));
}

int index_policy_open(const struct options *options, const struct source *source, bool make,
		      struct li_index **ret, struct view_error *error)
{
	*ret = NULL;
	if (options->cache && strcmp(options->cache, "none") == 0)
		return 0;
	if (options->cache)
		return open_named(options->cache, make, ret, error);
	if (are_snapshots(&source->layers))
		open_default(make, ret);
	return 0;
}

void index_policy_report(const struct li_stack *stack)
{
	const char *entry = li_stack_damaged_entry(stack);

	if (entry)
		log_warn("layer index: entry %s is damaged and will be replaced", entry);
}

void index_policy_publish(struct li_index *index, struct li_stack *stack)
{
	int r = index ? li_index_make(index) : 0;

	if (r == 0 && stack)
		r = li_stack_publish(stack);
	if (r < 0)
		log_warn("layer index: no entry was written: %s", strerror(-r));
}
