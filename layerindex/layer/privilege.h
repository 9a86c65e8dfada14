/* SPDX-License-Identifier: Apache-2.0 */
/* What reading trusted.* attributes requires. */
#pragma once

#include <stdbool.h>

/* Whether CAP_SYS_ADMIN is effective in this process. */
bool has_sys_admin(void);

/* Returns: > 0: this process is in the initial user namespace; 0: it is not; -ENOSYS: no /proc. */
int in_initial_user_namespace(void);
