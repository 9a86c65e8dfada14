/* SPDX-License-Identifier: Apache-2.0 */
/* OCI image specification: image-layout.md, image-index.md, manifest.md, config.md ("Layer
 * ChainID"); the choice of a manifest by platform as in containerd's core/images. */
#include "fuse/fill/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "fuse/base/io.h"
#include "fuse/base/json.h"
#include "fuse/base/messages.h"
#include "layerindex/hash/sha256.h"

#define REF_NAME "org.opencontainers.image.ref.name"

static const char *const manifest_types[] = {
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json",
};
static const char *const index_types[] = {
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
};
static const char *const layer_types[] = {
	"application/vnd.oci.image.layer.v1.tar",
	"application/vnd.oci.image.layer.v1.tar+gzip",
	"application/vnd.oci.image.layer.v1.tar+zstd",
	"application/vnd.oci.image.layer.nondistributable.v1.tar",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
	"application/vnd.docker.image.rootfs.diff.tar",
	"application/vnd.docker.image.rootfs.diff.tar.gzip",
	"application/vnd.docker.image.rootfs.diff.tar.zstd",
	"application/vnd.docker.image.rootfs.foreign.diff.tar",
	"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
};

#define IS_ONE_OF(types, type) is_one_of(types, sizeof(types) / sizeof(*(types)), type)

static bool is_one_of(const char *const *types, size_t count, const char *type)
{
	for (size_t i = 0; type && i < count; i++)
		if (strcmp(types[i], type) == 0)
			return true;
	return false;
}

void blob_image_done(struct blob_image *image)
{
	image->blobs = close_keep_errno(image->blobs);
	free(TAKE_PTR(image->layers));
	image->count = 0;
}

/* What is being read, for messages. */
struct reading {
	const struct blob_place *place;
	struct blob_image *image;
	char platform[128];
	int depth; /* of indexes in indexes */
	struct view_error *error;
};

static int fail_blob(const struct reading *reading, const struct li_digest *digest,
		     const char *reason)
{
	char text[DIGEST_TEXT_SIZE];

	digest_print(digest, text);
	return view_fail(reading->error, MSG_BLOB, text, reason);
}

int blob_open(const struct blob_place *place, const struct blob_image *image,
	      const struct li_digest *digest, struct view_error *error)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	char path[sizeof("sha256/") + SHA256_DIGITS] = "sha256/";
	char text[DIGEST_TEXT_SIZE];
	int fd;

	li_digest_print(digest, path + strlen("sha256/"));
	fd = (int)syscall(SYS_openat2, image->blobs, path, &how, sizeof(how));
	if (fd >= 0)
		return fd;
	digest_print(digest, text);
	if (errno == ENOENT && place->content)
		return view_fail(error, MSG_BLOB_NONE, text);
	return view_fail(error, MSG_BLOB, text, strerror(errno));
}

/* Reads a blob of JSON whose bytes have the digest. Returns: an owned object; NULL with *error*. */
static struct json_object *read_json(struct reading *reading, const struct li_digest *digest)
{
	cleanup_close int fd = blob_open(reading->place, reading->image, digest, reading->error);
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
		fail_blob(reading, digest, r == -EFBIG ? "larger than 4 MiB" : strerror(-r));
		return NULL;
	}
	sha256_start(&hash);
	sha256_add(&hash, text, n);
	sha256_finish(&hash, found.bytes);
	if (memcmp(&found, digest, sizeof(found)) != 0) {
		fail_blob(reading, digest, "its content has another digest");
		return NULL;
	}
	digest_print(digest, name);
	json_parse_input(text, n, name, CODE_ELAYER, &object, reading->error);
	return object;
}

static struct json_object *member(struct json_object *object, const char *key, enum json_type type)
{
	struct json_object *value;

	if (!json_object_is_type(object, json_type_object) ||
	    !json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, type))
		return NULL;
	return value;
}

/* The digest that a descriptor names. */
static int descriptor_digest(struct json_object *descriptor, struct li_digest *ret)
{
	const char *text = json_object_is_type(descriptor, json_type_object)
				   ? json_string(descriptor, "digest")
				   : NULL;

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
static bool suits(const struct reading *reading, struct json_object *descriptor)
{
	struct json_object *platform = member(descriptor, "platform", json_type_object);
	const char *os = platform ? json_string(platform, "os") : NULL;
	const char *architecture = platform ? json_string(platform, "architecture") : NULL;
	const char *variant = platform ? json_string(platform, "variant") : NULL;
	const char *wish = reading->platform;
	char text[sizeof(reading->platform) + 2];
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

/* The configuration's diff ids, of which there must be one a layer. */
static int read_config(struct reading *reading, const struct li_digest *digest)
{
	cleanup_with(json_done) struct json_object *config = read_json(reading, digest);
	struct blob_image *image = reading->image;
	struct json_object *ids;

	if (!config)
		return -ECANCELED;
	ids = member(member(config, "rootfs", json_type_object), "diff_ids", json_type_array);
	if (!ids || json_object_array_length(ids) != image->count)
		return fail_blob(reading, digest, "it has not one diff id for each layer");
	for (size_t i = 0; i < image->count; i++) {
		const char *text = json_text(json_object_array_get_idx(ids, i));
		struct li_digest *id = &image->layers[i].diff_id;

		if (!text || digest_parse(text, id) < 0)
			return fail_blob(reading, digest, "a diff id is no SHA-256 digest");
		add_to_chain(&image->chain, id, i == 0);
	}
	return 0;
}

static int read_layers(struct reading *reading, struct json_object *layers,
		       const struct li_digest *digest)
{
	struct blob_image *image = reading->image;
	size_t count = layers ? json_object_array_length(layers) : 0;

	if (count == 0)
		return fail_blob(reading, digest, "it lists no layers");
	if (count > MANIFEST_LAYERS_MAX)
		return view_fail(reading->error, MSG_LAYERS_MANY, count, MANIFEST_LAYERS_MAX);
	image->layers = calloc(count, sizeof(*image->layers));
	if (!image->layers)
		return view_fail(reading->error, MSG_NO_MEMORY);
	image->count = count;
	for (size_t i = 0; i < count; i++) {
		struct json_object *layer = json_object_array_get_idx(layers, i);
		const char *type;

		if (descriptor_digest(layer, &image->layers[i].blob) < 0)
			return fail_blob(reading, digest, "a layer has no SHA-256 digest");
		type = json_string(layer, "mediaType");
		if (!IS_ONE_OF(layer_types, type))
			return view_fail(reading->error, MSG_LAYER_TYPE, i, type ? type : "");
	}
	return 0;
}

static int read_manifest(struct reading *reading, struct json_object *manifest,
			 const struct li_digest *digest)
{
	struct li_digest config;
	int r;

	if (descriptor_digest(member(manifest, "config", json_type_object), &config) < 0)
		return fail_blob(reading, digest, "it names no configuration");
	r = read_layers(reading, member(manifest, "layers", json_type_array), digest);
	if (r < 0)
		return r;
	reading->image->manifest = *digest;
	return read_config(reading, &config);
}

static int read_descriptor(struct reading *reading, const struct li_digest *digest);

/* Takes the first manifest that suits; what is neither manifest nor index is not looked at. */
static int read_index(struct reading *reading, struct json_object *manifests)
{
	size_t count = manifests ? json_object_array_length(manifests) : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *descriptor = json_object_array_get_idx(manifests, i);
		struct li_digest wanted;
		const char *type;

		if (descriptor_digest(descriptor, &wanted) < 0 || !suits(reading, descriptor))
			continue;
		type = json_string(descriptor, "mediaType");
		if (IS_ONE_OF(manifest_types, type) || IS_ONE_OF(index_types, type))
			return read_descriptor(reading, &wanted);
	}
	return view_fail(reading->error, MSG_NO_PLATFORM, reading->platform);
}

static int read_descriptor(struct reading *reading, const struct li_digest *digest)
{
	cleanup_with(json_done) struct json_object *object = read_json(reading, digest);
	struct json_object *manifests;

	if (!object)
		return -ECANCELED;
	manifests = member(object, "manifests", json_type_array);
	if (!manifests)
		return read_manifest(reading, object, digest);
	if (reading->depth++ >= MANIFEST_INDEX_DEPTH_MAX)
		return fail_blob(reading, digest, "indexes are nested too deeply");
	return read_index(reading, manifests);
}

static int open_directory(int parent, const char *path)
{
	return openat(parent, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Whether a descriptor of the layout is what REF means; without REF, any is. */
static bool is_ref(struct json_object *descriptor, const char *ref)
{
	struct json_object *annotations = member(descriptor, "annotations", json_type_object);
	const char *name = annotations ? json_string(annotations, REF_NAME) : NULL;
	const char *digest = json_string(descriptor, "digest");

	return !ref || (name && strcmp(name, ref) == 0) || (digest && strcmp(digest, ref) == 0);
}

/* Finds the one descriptor that REF means in the layout's index.json. */
static int find_ref(struct reading *reading, struct json_object *index, const char *ref,
		    struct li_digest *ret)
{
	struct json_object *manifests = member(index, "manifests", json_type_array);
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
		return view_fail(reading->error, MSG_OCI_NO_REF, reading->place->oci,
				 ref ? ref : "");
	if (found > 1)
		return view_fail(reading->error, MSG_OCI_REFS, reading->place->oci, found);
	return 0;
}

static int open_layout(struct reading *reading)
{
	const char *oci = reading->place->oci;
	cleanup_with(json_done) struct json_object *index = NULL;
	cleanup_free char *path = strndup(oci, strcspn(oci, ":"));
	cleanup_free char *text = NULL;
	cleanup_close int layout = -EBADF, fd = -EBADF;
	const char *ref = strchr(oci, ':');
	struct li_digest digest;
	size_t n = 0;
	int r;

	if (!path)
		return view_fail(reading->error, MSG_NO_MEMORY);
	layout = open_directory(AT_FDCWD, path);
	fd = layout < 0 ? -1 : openat(layout, "index.json", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return view_fail(reading->error, MSG_OCI, path, strerror(errno));
	reading->image->blobs = open_directory(layout, "blobs");
	if (reading->image->blobs < 0)
		return view_fail(reading->error, MSG_OCI, path, strerror(errno));
	r = read_all(fd, MANIFEST_SIZE_MAX, &text, &n);
	if (r < 0)
		return view_fail(reading->error, MSG_OCI, path, strerror(-r));
	if (json_parse_input(text, n, "index.json", CODE_ELAYER, &index, reading->error) < 0 ||
	    find_ref(reading, index, ref ? ref + 1 : NULL, &digest) < 0)
		return -ECANCELED;
	return read_descriptor(reading, &digest);
}

static int open_content(struct reading *reading)
{
	const char *path = reading->place->content;
	cleanup_close int content = open_directory(AT_FDCWD, path);

	if (content < 0)
		return view_fail(reading->error, MSG_CONTENT, path, strerror(errno));
	reading->image->blobs = open_directory(content, "blobs");
	if (reading->image->blobs < 0)
		reading->image->blobs = TAKE_FD(content);
	return read_descriptor(reading, &reading->place->manifest.digest);
}

int blob_image_open(const struct blob_place *place, struct blob_image *ret,
		    struct view_error *error)
{
	struct reading reading = {.place = place, .image = ret, .error = error};

	if (place->platform)
		snprintf(reading.platform, sizeof(reading.platform), "%s", place->platform);
	else
		host_platform(reading.platform, sizeof(reading.platform));
	return place->oci ? open_layout(&reading) : open_content(&reading);
}
