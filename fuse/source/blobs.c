/* SPDX-License-Identifier: Apache-2.0 */
/* OCI image specification: image-layout.md, image-index.md, manifest.md, config.md ("Layer
 * ChainID"); the choice of a manifest by platform as in containerd's core/images. */
#include "fuse/source/blobs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "fuse/base/io.h"
#include "fuse/base/json.h"
#include "fuse/base/messages.h"
#include "layerindex/hash/sha256.h"

#define REF_NAME "org.opencontainers.image.ref.name"

/* By OCI and by docker. */
static const char manifest_types[][56] = {
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json",
};
static const char index_types[][64] = {
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
};

void blobs_close(struct blobs *blobs)
{
	blobs->directory = close_keep_errno(blobs->directory);
}

int blob_fail(const struct li_digest *digest, const char *reason, struct view_error *error)
{
	char text[DIGEST_TEXT_SIZE];

	digest_print(digest, text);
	return view_fail(error, MSG_BLOB, text, reason);
}

static int fail_limit(const struct li_digest *digest, const char *reason, struct view_error *error)
{
	char text[DIGEST_TEXT_SIZE];

	digest_print(digest, text);
	return view_fail(error, MSG_BLOB_LIMIT, text, reason);
}

int blob_open(const struct blobs *blobs, const struct li_digest *digest, struct view_error *error)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	char path[sizeof("sha256/") + SHA256_DIGITS] = "sha256/";
	char text[DIGEST_TEXT_SIZE];
	int fd;

	li_digest_print(digest, path + strlen("sha256/"));
	fd = (int)syscall(SYS_openat2, blobs->directory, path, &how, sizeof(how));
	if (fd >= 0)
		return fd;
	digest_print(digest, text);
	if (errno == ENOENT && blobs->place->content)
		return view_fail(error, MSG_BLOB_NONE, text);
	return view_fail(error, MSG_BLOB, text, strerror(errno));
}

/* Reads a blob of JSON whose bytes have the digest. Returns: an owned object; NULL with *error*. */
static struct json_object *read_json(const struct blobs *blobs, const struct li_digest *digest,
				     struct view_error *error)
{
	cleanup_close int fd = blob_open(blobs, digest, error);
	struct json_object *object = NULL;
	cleanup_free char *text = NULL;
	char name[DIGEST_TEXT_SIZE];
	struct li_digest found;
	struct sha256 hash;
	size_t n = 0;
	int r = fd < 0 ? fd : read_all(fd, MANIFEST_SIZE_MAX, &text, &n);

	if (fd < 0)
		return NULL;
	if (r < 0) {
		if (r == -EFBIG)
			fail_limit(digest, "larger than 4 MiB", error);
		else
			blob_fail(digest, strerror(-r), error);
		return NULL;
	}
	sha256_start(&hash);
	sha256_add(&hash, text, n);
	sha256_finish(&hash, found.bytes);
	if (!li_digest_equal(&found, digest)) {
		blob_fail(digest, "its content has another digest", error);
		return NULL;
	}
	digest_print(digest, name);
	json_parse_input(text, n, name, CODE_ELAYER, &object, error);
	return object;
}

int descriptor_digest(struct json_object *descriptor, struct li_digest *ret)
{
	const char *text = json_string(descriptor, "digest");

	return text ? digest_parse(text, ret) : -EINVAL;
}

/* The host's platform by the words of images. */
static void host_platform(char *ret, size_t size)
{
	struct utsname host;
	const char *machine = uname(&host) == 0 ? host.machine : "unknown";

	if (strcmp(machine, "x86_64") == 0)
		machine = "amd64";
	else if (strcmp(machine, "aarch64") == 0)
		machine = "arm64";
	snprintf(ret, size, "linux/%s", machine);
}

/* A descriptor without a platform suits any; a variant that is not asked for does not count. */
static bool suits(struct json_object *descriptor, const char *wish)
{
	struct json_object *platform = json_member(descriptor, "platform", json_type_object);
	const char *os = json_string(platform, "os");
	const char *architecture = json_string(platform, "architecture");
	const char *variant = json_string(platform, "variant");
	char text[PLATFORM_SIZE];
	size_t n;

	if (!platform)
		return true;
	if (!os || !architecture)
		return false;
	n = (size_t)snprintf(text, sizeof(text), "%s/%s", os, architecture);
	if (n >= sizeof(text) || strncmp(wish, text, n) != 0)
		return false;
	if (wish[n] == '\0')
		return true;
	return wish[n] == '/' && (!variant || strcmp(wish + n + 1, variant) == 0);
}

/* Whether a descriptor is of a manifest or an index: what else there is, is not looked at. */
static bool leads_to_manifest(struct json_object *descriptor)
{
	const char *type = json_string(descriptor, "mediaType");

	for (int i = 0; type && i < 2; i++)
		if (strcmp(manifest_types[i], type) == 0 || strcmp(index_types[i], type) == 0)
			return true;
	return false;
}

/* The first manifest, or index, of an index that is for the platform. */
static int choose(struct json_object *manifests, const char *given, struct li_digest *ret,
		  struct view_error *error)
{
	size_t count = json_object_array_length(manifests);
	const char *platform = given;
	char host[PLATFORM_SIZE];

	if (!given) {
		host_platform(host, sizeof(host));
		platform = host;
	}
	for (size_t i = 0; i < count; i++) {
		struct json_object *descriptor = json_object_array_get_idx(manifests, i);

		if (leads_to_manifest(descriptor) && suits(descriptor, platform) &&
		    descriptor_digest(descriptor, ret) == 0)
			return 0;
	}
	return view_fail(error, MSG_NO_PLATFORM, platform);
}

int blobs_read_manifest(const struct blobs *blobs, blobs_known known, void *context,
			struct li_digest *ret, struct json_object **ret_manifest,
			struct view_error *error)
{
	struct li_digest digest = blobs->named;

	for (int depth = 0; depth <= MANIFEST_INDEX_DEPTH_MAX; depth++) {
		cleanup_with(json_done) struct json_object *object = NULL;
		struct json_object *manifests;

		if (known && known(context, &digest)) {
			*ret = digest;
			*ret_manifest = NULL;
			return 0;
		}
		object = read_json(blobs, &digest, error);
		if (!object)
			/* cppcheck-suppress memleak ; cleanup_with() frees it */
			return -ECANCELED;
		manifests = json_member(object, "manifests", json_type_array);
		if (!manifests) {
			*ret = digest;
			*ret_manifest = TAKE_PTR(object);
			return 0;
		}
		if (choose(manifests, blobs->place->platform, &digest, error) < 0)
			return -ECANCELED;
	}
	return fail_limit(&digest, "indexes are nested too deeply", error);
}

/* ChainID(L0…Ln) = SHA-256 of "ChainID(L0…Ln-1) DiffID(Ln)", as texts. */
static void add_to_chain(struct li_digest *chain, const struct li_digest *diff_id, bool first)
{
	char above[DIGEST_TEXT_SIZE], below[DIGEST_TEXT_SIZE];
	struct sha256 hash;

	if (first) {
		*chain = *diff_id;
		return;
	}
	digest_print(chain, below);
	digest_print(diff_id, above);
	sha256_start(&hash);
	sha256_add(&hash, below, strlen(below));
	sha256_add(&hash, " ", 1);
	sha256_add(&hash, above, strlen(above));
	sha256_finish(&hash, chain->bytes);
}

struct json_object *manifest_layers(struct json_object *manifest, const struct li_digest *digest,
				    struct view_error *error)
{
	struct json_object *layers = json_member(manifest, "layers", json_type_array);
	size_t count = layers ? json_object_array_length(layers) : 0;

	if (count > 0 && count <= MANIFEST_LAYERS_MAX)
		return layers;
	if (count == 0)
		blob_fail(digest, "it lists no layers", error);
	else
		fail_limit(digest, "it lists more than 500 layers", error);
	return NULL;
}

int blobs_read_chain(const struct blobs *blobs, struct json_object *manifest,
		     const struct li_digest *digest, struct li_digest *ret_ids,
		     struct li_digest *ret, struct view_error *error)
{
	struct json_object *layers = manifest_layers(manifest, digest, error);
	cleanup_with(json_done) struct json_object *config = NULL;
	struct li_digest of_config;
	struct json_object *ids;

	if (!layers)
		return -ECANCELED;
	if (descriptor_digest(json_member(manifest, "config", json_type_object), &of_config) < 0)
		return blob_fail(digest, "it names no configuration", error);
	config = read_json(blobs, &of_config, error);
	if (!config)
		return -ECANCELED;
	ids = json_member(json_member(config, "rootfs", json_type_object), "diff_ids",
			  json_type_array);
	if (!ids || json_object_array_length(ids) != json_object_array_length(layers))
		return blob_fail(&of_config, "it has not one diff id for each layer", error);
	for (size_t i = 0; i < json_object_array_length(ids); i++) {
		const char *text = json_text(json_object_array_get_idx(ids, i));
		struct li_digest id;

		if (!text || digest_parse(text, &id) < 0)
			return blob_fail(&of_config, "a diff id is no SHA-256 digest", error);
		add_to_chain(ret, &id, i == 0);
		if (ret_ids)
			ret_ids[i] = id;
	}
	return 0;
}

static int open_directory(int parent, const char *path)
{
	return openat(parent, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Whether a descriptor of the layout is what REF means; without REF, any is. */
static bool is_ref(struct json_object *descriptor, const char *ref)
{
	struct json_object *annotations = json_member(descriptor, "annotations", json_type_object);
	const char *name = json_string(annotations, REF_NAME);
	const char *digest = json_string(descriptor, "digest");

	return !ref || (name && strcmp(name, ref) == 0) || (digest && strcmp(digest, ref) == 0);
}

/* Finds the one descriptor that REF means in the layout's index.json. */
static int find_ref(const char *oci, struct json_object *index, const char *ref,
		    struct li_digest *ret, struct view_error *error)
{
	struct json_object *manifests = json_member(index, "manifests", json_type_array);
	size_t count = manifests ? json_object_array_length(manifests) : 0;
	size_t found = 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *descriptor = json_object_array_get_idx(manifests, i);
		struct li_digest digest;

		if (descriptor_digest(descriptor, &digest) < 0 || !is_ref(descriptor, ref))
			continue;
		*ret = digest;
		found++;
	}
	if (found == 0)
		return ref ? view_fail(error, MSG_OCI_NO_REF, oci, ref)
			   : view_fail(error, MSG_OCI_EMPTY, oci);
	if (found > 1)
		return view_fail(error, MSG_OCI_REFS, oci, found);
	return 0;
}

static int open_layout(struct blobs *blobs, struct view_error *error)
{
	const char *oci = blobs->place->oci;
	cleanup_with(json_done) struct json_object *index = NULL;
	cleanup_free char *path = strndup(oci, strcspn(oci, ":"));
	cleanup_free char *text = NULL;
	cleanup_close int layout = -EBADF, fd = -EBADF;
	const char *ref = strchr(oci, ':');
	size_t n = 0;
	int r;

	if (!path)
		return view_fail(error, MSG_NO_MEMORY);
	layout = open_directory(AT_FDCWD, path);
	fd = layout < 0
		     ? -1
		     : openat(layout, "index.json", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return view_fail(error, MSG_OCI, path, strerror(errno));
	blobs->directory = open_directory(layout, "blobs");
	if (blobs->directory < 0)
		return view_fail(error, MSG_OCI, path, strerror(errno));
	r = read_all(fd, MANIFEST_SIZE_MAX, &text, &n);
	if (r < 0)
		return view_fail(error, MSG_OCI, path, strerror(-r));
	if (json_parse_input(text, n, "index.json", CODE_ELAYER, &index, error) < 0)
		return -ECANCELED;
	return find_ref(oci, index, ref ? ref + 1 : NULL, &blobs->named, error);
}

static int open_content(struct blobs *blobs, struct view_error *error)
{
	const char *path = blobs->place->content;
	cleanup_close int content = open_directory(AT_FDCWD, path);

	if (content < 0)
		return view_fail(error, MSG_CONTENT, path, strerror(errno));
	blobs->named = blobs->place->manifest.digest;
	blobs->directory = open_directory(content, "blobs");
	if (blobs->directory < 0)
		blobs->directory = TAKE_FD(content);
	return 0;
}

int blobs_open(const struct blob_place *place, struct blobs *ret, struct view_error *error)
{
	ret->place = place;
	return place->oci ? open_layout(ret, error) : open_content(ret, error);
}
