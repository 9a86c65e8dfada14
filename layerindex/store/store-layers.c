/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name logs of layers, by diff id. What is in them is the business of blob/: here they are
 * files that are complete before they have their name, and that may be removed at any time.
 */
#include <errno.h>
#include <unistd.h>

#include "layerindex/store/store-dir.h"

int store_layers_open(const struct li_store *store, bool make)
{
	return store_directory(store->fd, "layers", make);
}

int li_store_layer_open(const struct li_store *store, const struct li_digest *diff_id)
{
	cleanup_close int directory = store_layers_open(store, false), fd = -EBADF;
	char name[SHA256_DIGITS + 1];
	struct stat st = {};

	if (directory < 0)
		return directory;
	li_digest_print(diff_id, name);
	fd = store_file_open(directory, name, &st);
	if (fd >= 0)
		store_note_use(directory, name, &st);
	return TAKE_FD(fd);
}

int li_store_layer_add(const struct li_store *store, const struct li_digest *diff_id, int fd)
{
	cleanup_close int lock = store_lock_all(store, false), directory = -EBADF;
	char name[SHA256_DIGITS + 1];

	if (lock < 0)
		return lock;
	directory = store_layers_open(store, true);
	if (directory < 0)
		return directory;
	li_digest_print(diff_id, name);
	return new_file_link(fd, directory, name, true);
}

void li_store_layer_forget(const struct li_store *store, const struct li_digest *diff_id)
{
	cleanup_close int directory = store_layers_open(store, false);
	char name[SHA256_DIGITS + 1];

	li_digest_print(diff_id, name);
	if (directory >= 0)
		unlinkat(directory, name, 0);
}
