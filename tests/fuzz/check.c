/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/check.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "fuse/base/text.h"

char *input_string(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	require(text != NULL, "there is memory for the input");
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

void require_reason(int r, const struct view_error *error)
{
	const char *message = error->message;

	require((r < 0) == (error->code != CODE_NONE), "a failure, and only that, has a code");
	require((r < 0) == (*message != '\0'), "a failure, and only that, has a sentence");
	require(utf8_is_valid(message, strlen(message)), "the sentence is UTF-8");
}

static void require_sound_map(const struct idmap *map)
{
	for (size_t i = 0; i < map->count; i++) {
		const struct idmap_range *range = &map->ranges[i];

		require(range->size > 0, "no range is empty");
		require(range->container <= UINT32_MAX - range->size &&
				range->host <= UINT32_MAX - range->size,
			"no range reaches beyond 32 bits");
	}
}

void require_sound_overlay(const struct overlay_options *overlay)
{
	for (size_t i = 0; i < overlay->lowers.count; i++)
		require(*overlay->lowers.items[i], "every layer has a name");
	require_sound_map(&overlay->uids);
	require_sound_map(&overlay->gids);
}

/* Ends the program: a test that is skipped, or fails where it must run. */
static void cannot_run(const char *why)
{
	const char *must = getenv("VIEWFS_MUST_RUN");

	fprintf(stderr, "cannot run: %s: %s\n", why, strerror(errno));
	exit(must && strcmp(must, "1") == 0 ? 1 : 77);
}

int open_scratch(void)
{
	cleanup_close int context = fsopen("tmpfs", FSOPEN_CLOEXEC);
	int fd;

	if (context < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		cannot_run("no filesystem of our own");
	fd = fsmount(context, FSMOUNT_CLOEXEC, 0);
	if (fd < 0)
		cannot_run("no mount of our own");
	return fd;
}
