/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/view/pin.h"

#include <errno.h>
#include <string.h>

#include "fuse/base/messages.h"

/* Which option pins which role. */
static const struct {
	enum pin pin;
	enum role role;
} pins[] = {
	{PIN_CONFIG, ROLE_CONFIG},
	{PIN_BINARY, ROLE_BINARY},
	{PIN_INITRD, ROLE_INITRD},
};

int artifact_hash(struct artifact *artifact)
{
	int r;

	if (artifact->digest.given)
		return 0;
	r = li_digest_file(artifact->fd, (uint64_t)artifact->st.st_size, &artifact->digest.digest);
	artifact->digest.given = r == 0;
	return r;
}

bool view_is_pinned(const struct options *options)
{
	for (int i = 0; i < PINS; i++)
		if (options->pins[i].given)
			return true;
	return false;
}

static struct artifact *find_role(struct view *view, enum role role)
{
	for (size_t i = 0; i < view->artifact_count; i++)
		if (view->artifacts[i].roles & role)
			return &view->artifacts[i];
	return NULL;
}

static bool is_same_change(const struct stat *a, const struct stat *b)
{
	return a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec &&
	       a->st_size == b->st_size;
}

static int fail_file(const struct artifact *artifact, int r, struct view_error *error)
{
	return view_fail(error, MSG_ARTIFACT_LAYER, roles_name(artifact->roles), artifact->path,
			 strerror(-r));
}

static int check_pin(struct artifact *artifact, const struct li_digest *wanted, const char *name,
		     struct view_error *error)
{
	char found[DIGEST_TEXT_SIZE];
	struct stat after;
	int r;

	if (fstat(artifact->fd, &artifact->hashed) < 0)
		return fail_file(artifact, -errno, error);
	r = artifact_hash(artifact);
	if (r == 0 && fstat(artifact->fd, &after) < 0)
		r = -errno;
	if (r == 0 && !is_same_change(&artifact->hashed, &after))
		r = -ESTALE;
	if (r < 0)
		return fail_file(artifact, r, error);
	artifact->pinned = true;
	if (li_digest_equal(&artifact->digest.digest, wanted))
		return 0;
	digest_print(&artifact->digest.digest, found);
	return view_fail(error, MSG_PIN, name, artifact->path, found, name);
}

int view_check_pins(struct view *view, const struct options *options, struct view_error *error)
{
	for (size_t i = 0; i < sizeof(pins) / sizeof(*pins); i++) {
		const struct digest_wish *wish = &options->pins[pins[i].pin];
		const char *name = roles_name(pins[i].role);
		struct artifact *artifact = find_role(view, pins[i].role);

		if (!wish->given)
			continue;
		if (!artifact || artifact->state != ARTIFACT_READY)
			return view_fail(error, MSG_PIN_NONE, name, name);
		if (check_pin(artifact, &wish->digest, name, error) < 0)
			return -ECANCELED;
	}
	return 0;
}

bool artifact_is_as_pinned(const struct artifact *artifact)
{
	struct stat st;

	if (!artifact->pinned || artifact->fd < 0)
		return true;
	return fstat(artifact->fd, &st) == 0 && is_same_change(&artifact->hashed, &st);
}
