/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ctl/unit-file.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/io.h"
#include "layerindex/cleanup.h"

/* Units from the directory that counts least to the one that counts most (systemd.unit(5)). */
static const char *const unit_directories[] = {
	"/lib/systemd/system", "/usr/lib/systemd/system", "/usr/local/lib/systemd/system",
	"/run/systemd/system", "/etc/systemd/system",
};

enum { UNIT_DIRECTORIES = sizeof(unit_directories) / sizeof(*unit_directories) };

const char *unit_kill_mode(const char *text, size_t *ret_size)
{
	static const char key[] = "KillMode=", section[] = "[Service]";
	static const char standard[] = "control-group";
	const char *found = NULL;
	bool inside = false;

	while (*text) {
		size_t length;

		text += strspn(text, " \t\n");
		length = strcspn(text, "\n");
		if (*text == '[')
			inside = strncmp(text, section, sizeof(section) - 1) == 0;
		if (inside && strncmp(text, key, sizeof(key) - 1) == 0) {
			found = text + sizeof(key) - 1;
			*ret_size = length - (sizeof(key) - 1);
			while (*ret_size > 0 && strchr(" \t\r", found[*ret_size - 1]))
				--*ret_size;
		}
		text += length;
	}
	if (!found || *ret_size > 0)
		return found;
	*ret_size = sizeof(standard) - 1;
	return standard;
}

/* Takes over what a unit file or a drop-in says, if it is there and says something. */
static bool take_kill_mode(const char *path, char ret[static KILL_MODE_SIZE])
{
	cleanup_free char *text = file_text(path);
	const char *mode;
	size_t n;

	if (!text)
		return false;
	mode = unit_kill_mode(text, &n);
	if (mode)
		snprintf(ret, KILL_MODE_SIZE, "%.*s", (int)n, mode);
	return true;
}

static int is_drop_in(const struct dirent *entry)
{
	const char *end = strrchr(entry->d_name, '.');

	return end && strcmp(end, ".conf") == 0;
}

static void take_drop_ins(const char *directory, char ret[static KILL_MODE_SIZE])
{
	struct dirent **entries = NULL;
	int n = scandir(directory, &entries, is_drop_in, alphasort);

	for (int i = 0; i < n; i++) {
		char path[PATH_MAX];

		if ((size_t)snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name) <
		    sizeof(path))
			take_kill_mode(path, ret);
		free(entries[i]);
	}
	free(entries);
}

bool unit_find_kill_mode(const char *unit, char ret[static KILL_MODE_SIZE])
{
	char path[PATH_MAX];
	bool found = false;

	snprintf(ret, KILL_MODE_SIZE, "control-group");
	for (int i = UNIT_DIRECTORIES - 1; i >= 0 && !found; i--) {
		snprintf(path, sizeof(path), "%s/%s", unit_directories[i], unit);
		found = take_kill_mode(path, ret);
	}
	for (int i = 0; found && i < UNIT_DIRECTORIES; i++) {
		snprintf(path, sizeof(path), "%s/%s.d", unit_directories[i], unit);
		take_drop_ins(path, ret);
	}
	return found;
}
