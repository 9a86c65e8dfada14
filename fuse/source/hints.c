/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/source/hints.h"

#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

#include "fuse/base/messages.h"

static bool has(const struct image *image, const char *path, mode_t type)
{
	cleanup_with(li_file_done) struct li_file file = LI_FILE_INIT;

	return li_resolve(image->stack, path, 0, &file) == 0 && (file.st.st_mode & S_IFMT) == type;
}

void hint_at_form(const struct image *image, struct view_error *error)
{
	const char *path;

	if (!image->stack || image->layers != 1)
		return;
	path = li_stack_path(image->stack, 0);
	if (has(image, "/config.json", S_IFREG) && has(image, "/rootfs", S_IFDIR))
		view_hint(error, HINT_BUNDLE, path);
	else if (has(image, "/link", S_IFREG) && has(image, "/diff", S_IFDIR))
		view_hint(error, HINT_DOCKER, path);
	else if (has(image, "/oci-layout", S_IFREG))
		view_hint(error, HINT_LAYOUT, path);
}

/* A FUSE filesystem answers statfs(2) to any user, with nothing but its type. */
void hint_at_fuse(const char *path, struct view_error *error)
{
	cleanup_free char *at = strdup(path);
	struct statfs fs;
	char *slash;

	while (at && statfs(at, &fs) < 0) {
		slash = strrchr(at, '/');
		if (!slash || slash == at)
			return;
		*slash = '\0';
	}
	if (at && fs.f_type == FUSE_SUPER_MAGIC)
		view_hint(error, HINT_ALLOW_OTHER, at);
}
