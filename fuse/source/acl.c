/* SPDX-License-Identifier: Apache-2.0 */
/* The format is include/uapi/linux/posix_acl_xattr.h, little-endian. */
#include "fuse/source/acl.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

enum { VERSION = 2, VALUE_SIZE_MAX = 4096 };

enum tag {
	TAG_OWNER = 0x01,
	TAG_USER = 0x02,
	TAG_GROUP_OWNER = 0x04,
	TAG_GROUP = 0x08,
	TAG_MASK = 0x10,
	TAG_OTHER = 0x20,
};

struct entry {
	uint16_t tag, permissions;
	uint32_t id;
};

/* What the entries of an ACL grant, each as three bits. */
struct grants {
	mode_t group, mask, other;
	mode_t users, groups; /* that no entry of another user, or of another group, denies */
	bool has_users, has_groups;
};

/* Returns: 0, or -EINVAL: a tag that is none. */
static int take_entry(const struct entry *entry, struct grants *grants)
{
	mode_t permissions = le16toh(entry->permissions) & S_IRWXO;

	switch (le16toh(entry->tag)) {
	case TAG_OWNER: return 0;
	case TAG_USER:
		grants->has_users = true;
		grants->users &= permissions;
		return 0;
	case TAG_GROUP_OWNER: grants->group &= permissions; return 0;
	case TAG_GROUP:
		grants->has_groups = true;
		grants->groups &= permissions;
		return 0;
	case TAG_MASK: grants->mask &= permissions; return 0;
	case TAG_OTHER: grants->other &= permissions; return 0;
	default: return -EINVAL;
	}
}

static int take_entries(const char *value, size_t n, struct grants *grants)
{
	uint32_t version;

	if (n < sizeof(version) || (n - sizeof(version)) % sizeof(struct entry) != 0)
		return -EINVAL;
	memcpy(&version, value, sizeof(version));
	if (le32toh(version) != VERSION)
		return -EINVAL;
	for (size_t at = sizeof(version); at < n; at += sizeof(struct entry)) {
		struct entry entry;

		memcpy(&entry, value + at, sizeof(entry));
		if (take_entry(&entry, grants) < 0)
			return -EINVAL;
	}
	return 0;
}

mode_t acl_narrow(const void *value, size_t n, mode_t mode)
{
	struct grants grants = {
		.group = mode >> 3 & S_IRWXO,
		.mask = mode >> 3 & S_IRWXO,
		.other = mode & S_IRWXO,
		.users = S_IRWXO,
		.groups = S_IRWXO,
	};

	if (take_entries(value, n, &grants) < 0)
		return mode & ~(mode_t)(S_IRWXG | S_IRWXO);
	/* The mask limits every entry but the owner's and the others'. */
	grants.group &= grants.mask;
	if (grants.has_users) {
		grants.group &= grants.users;
		grants.other &= grants.users & grants.mask;
	}
	if (grants.has_groups)
		grants.other &= grants.groups & grants.mask;
	return (mode & ~(mode_t)(S_IRWXG | S_IRWXO)) | grants.group << 3 | grants.other;
}

int acl_narrow_file(int fd, mode_t *mode)
{
	char value[VALUE_SIZE_MAX];
	ssize_t n = fgetxattr(fd, "system.posix_acl_access", value, sizeof(value));

	if (n < 0 && (errno == ENODATA || errno == EOPNOTSUPP))
		return 0;
	/* Larger than any that is known: as one that cannot be read. */
	if (n < 0 && errno == ERANGE)
		n = 0;
	if (n < 0)
		return -errno;
	*mode = acl_narrow(value, (size_t)n, *mode);
	return 0;
}
