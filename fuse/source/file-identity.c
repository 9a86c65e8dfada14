/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/source/file-identity.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux 6.5 and 6.9; not in Debian 12's headers. */
#ifndef AT_HANDLE_FID
#define AT_HANDLE_FID AT_REMOVEDIR
#endif

enum { UUID_SIZE = 16, HANDLE_SIZE = 128 /* MAX_HANDLE_SZ */ };

struct fs_uuid {
	uint8_t length;
	uint8_t bytes[UUID_SIZE];
};

#define GET_FS_UUID _IOR(0x15, 0, struct fs_uuid)

/* A file handle with room for its bytes, as name_to_handle_at(2) fills it. */
struct handle {
	unsigned size;
	int type;
	unsigned char bytes[HANDLE_SIZE];
};

/* What an overlay's handle holds (struct ovl_fh of fs/overlayfs/overlayfs.h). */
struct overlay_handle {
	uint8_t padding[3];
	uint8_t version;
	uint8_t magic;
	uint8_t length; /* of all that follows the padding */
	uint8_t flags;
	uint8_t type;		 /* of the handle of the file below */
	uint8_t uuid[UUID_SIZE]; /* of that file's filesystem; zero: unknown */
	uint8_t bytes[HANDLE_SIZE - 24];
};

_Static_assert(sizeof(struct overlay_handle) == HANDLE_SIZE, "as long as a handle may be");

enum { OVERLAY_HANDLE = 0xf8, OVERLAY_MAGIC = 0xfb, OVERLAY_HEAD = 24, OVERLAY_PADDING = 3 };

static bool get_handle(int fd, struct handle *ret)
{
	union {
		struct file_handle head;
		struct handle whole;
	} handle = {.whole.size = HANDLE_SIZE};
	int mount;

	if (name_to_handle_at(fd, "", &handle.head, &mount, AT_EMPTY_PATH | AT_HANDLE_FID) < 0)
		return false;
	*ret = handle.whole;
	return ret->size <= HANDLE_SIZE;
}

static bool get_overlay_handle(int fd, struct overlay_handle *ret, size_t *ret_size)
{
	struct handle handle;

	if (!get_handle(fd, &handle) || handle.type != OVERLAY_HANDLE ||
	    handle.size <= OVERLAY_HEAD)
		return false;
	memcpy(ret, handle.bytes, handle.size);
	if (ret->version != 0 || ret->magic != OVERLAY_MAGIC ||
	    ret->length <= OVERLAY_HEAD - OVERLAY_PADDING ||
	    ret->length + OVERLAY_PADDING > (int)handle.size)
		return false;
	*ret_size = (size_t)(ret->length + OVERLAY_PADDING - OVERLAY_HEAD);
	return true;
}

/* A handle's bytes may be followed by zeroes up to four. */
static bool are_same_bytes(const uint8_t *a, size_t n_a, const uint8_t *b, size_t n_b)
{
	size_t n = n_a < n_b ? n_a : n_b;

	return (n_a + 3) / 4 == (n_b + 3) / 4 && memcmp(a, b, n) == 0;
}

bool file_may_be_shown(int shown, int found)
{
	static const uint8_t unknown[UUID_SIZE];
	struct overlay_handle overlay;
	struct handle handle;
	struct fs_uuid uuid;
	size_t size;

	if (!get_overlay_handle(shown, &overlay, &size) || !get_handle(found, &handle))
		return true;
	/* Another type is another way to make a handle, as a generic one for want of a better. */
	if (overlay.type == handle.type &&
	    !are_same_bytes(overlay.bytes, size, handle.bytes, handle.size))
		return false;
	/* Not by ioctl(3), whose request is an int in musl. */
	return memcmp(overlay.uuid, unknown, UUID_SIZE) == 0 ||
	       syscall(SYS_ioctl, found, GET_FS_UUID, &uuid) < 0 || uuid.length != UUID_SIZE ||
	       memcmp(overlay.uuid, uuid.bytes, UUID_SIZE) == 0;
}
