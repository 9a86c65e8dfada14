/* SPDX-License-Identifier: Apache-2.0 */
#include "layerindex/layer/privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define INITIAL_USER_NS_INO UINT32_C(0xEFFFFFFD) /* PROC_USER_INIT_INO, include/linux/proc_ns.h */

bool has_sys_admin(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};

	if (syscall(SYS_capget, &header, data) < 0)
		return false;
	return data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN);
}

int in_initial_user_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/user", &st) < 0 ? -ENOSYS : st.st_ino == INITIAL_USER_NS_INO;
}
