/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/live/reuse.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "fuse/base/json.h"
#include "fuse/base/messages.h"
#include "fuse/base/text.h"
#include "fuse/live/view-process.h"
#include "fuse/mount/mountpoint.h"

enum { TELL_WAIT_MS = 1000, TELL_PAUSE_MS = 5 };

/* The one that has told what it serves, or NULL. */
static const struct view_process *find_titled(const struct view_processes *processes)
{
	for (size_t i = 0; i < processes->count; i++)
		if (processes->items[i].titled)
			return &processes->items[i];
	return NULL;
}

/* Ids are told as they can be printed. Returns: > 0, 0, or -ENOMEM. */
static int match_id(struct json_object *ready, const char *id)
{
	const char *told = json_string(ready, "id");
	cleanup_free char *shown = id ? text_printable(id) : NULL;

	if (id && !shown)
		return -ENOMEM;
	return told && shown ? strcmp(told, shown) == 0 : !told && !shown;
}

/* Returns: > 0, with what reuse_find() returns; 0: it is another view; < 0: -errno. */
static int compare(const struct view_process *process, const char *id, uint64_t fingerprint,
		   char **ret_ready, pid_t *ret_pid)
{
	int r = match_id(process->ready, id);

	if (r <= 0 || process->title.fingerprint != fingerprint)
		return r < 0 ? r : 0;
	*ret_ready = json_line(process->ready);
	*ret_pid = process->pid;
	return *ret_ready ? 1 : -ENOMEM;
}

int reuse_find(const char *path, dev_t device, const char *id, uint64_t fingerprint,
	       char **ret_ready, pid_t *ret_pid, struct view_error *error)
{
	int r = 0;

	for (int ms = 0; ms < TELL_WAIT_MS; ms += TELL_PAUSE_MS) {
		cleanup_with(view_processes_done) struct view_processes processes = {};
		const struct view_process *process;

		r = view_processes_find(device, &processes);
		process = r == 0 ? find_titled(&processes) : NULL;
		if (process)
			r = compare(process, id, fingerprint, ret_ready, ret_pid);
		if (r != 0 || process)
			break;
		poll(NULL, 0, TELL_PAUSE_MS);
	}
	if (r < 0)
		return mountpoint_fail(path, r, error);
	return r > 0 ? 0 : view_fail(error, MSG_LIVE_VIEW, path);
}
