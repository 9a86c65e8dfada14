/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/live/reuse.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "fuse/base/json.h"
#include "fuse/base/sentences.h"
#include "fuse/base/text.h"
#include "fuse/live/servers.h"
#include "fuse/mount/mountpoint.h"

enum { TELL_WAIT_MS = 1000, TELL_PAUSE_MS = 5 };

/* The one that has told what it serves, or NULL. */
static const struct server *find_titled(const struct servers *servers)
{
	for (size_t i = 0; i < servers->count; i++)
		if (servers->items[i].titled)
			return &servers->items[i];
	return NULL;
}

/* Ids are told as they can be printed. Returns: > 0, 0, or -ENOMEM. */
static int has_id(struct json_object *ready, const char *id)
{
	const char *told = json_string(ready, "id");
	cleanup_free char *shown = id ? text_printable(id) : NULL;

	if (id && !shown)
		return -ENOMEM;
	return told && shown ? strcmp(told, shown) == 0 : !told && !shown;
}

/* Returns: > 0, with what reuse_find() returns; 0: it is another view; < 0: an errno value. */
static int compare(const struct server *server, const char *id, uint64_t fingerprint,
		   char **ret_ready, pid_t *ret_pid)
{
	int r = has_id(server->ready, id);

	if (r <= 0 || server->title.fingerprint != fingerprint)
		return r < 0 ? r : 0;
	*ret_ready = json_line(server->ready);
	*ret_pid = server->pid;
	return *ret_ready ? 1 : -ENOMEM;
}

int reuse_find(const char *path, dev_t device, const char *id, uint64_t fingerprint,
	       char **ret_ready, pid_t *ret_pid, struct view_error *error)
{
	int r = 0;

	for (int ms = 0; ms < TELL_WAIT_MS; ms += TELL_PAUSE_MS) {
		cleanup_with(servers_done) struct servers servers = {};
		const struct server *server;

		r = servers_find(device, &servers);
		server = r == 0 ? find_titled(&servers) : NULL;
		if (server)
			r = compare(server, id, fingerprint, ret_ready, ret_pid);
		if (r != 0 || server)
			break;
		poll(NULL, 0, TELL_PAUSE_MS);
	}
	if (r < 0)
		return mountpoint_fail(path, r, error);
	return r > 0 ? 0 : view_fail(error, SAY_LIVE_VIEW, path);
}
