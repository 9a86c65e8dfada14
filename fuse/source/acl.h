/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POSIX access ACLs. Where a file has one, the group bits of its mode are the ACL's mask (acl(5)):
 * shown without the ACL they would grant the owning group what its entry denies.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/*
 * The permission bits of *mode* that grant no process more than an ACL does: the owning group's
 * entry is limited by the mask, and what an entry of another user or group denies is denied to the
 * group and to others. What such an entry grants is not shown. *value* is the attribute
 * system.posix_acl_access, of *n* bytes; one that is no ACL leaves the owner's bits only.
 */
mode_t acl_narrow(const void *value, size_t n, mode_t mode);

/*
 * The same for an open file, which may have no ACL. Returns: 0, with *mode* narrowed; or -errno of
 * reading the attribute.
 */
int acl_narrow_file(int fd, mode_t *mode);
