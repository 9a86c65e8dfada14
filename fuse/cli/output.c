/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/cli/output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/error.h"
#include "fuse/base/log.h"
#include "fuse/base/messages.h"

enum { HELD_MAX = 16384 };

void output_hold(void)
{
	static char buffer[HELD_MAX];

	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
}

int output_finish(int status)
{
	VIEW_ERROR(error);

	errno = EIO; /* what an earlier write failed with is not known any more */
	if ((fflush(stdout) == 0 && !ferror(stdout)) || status != 0)
		return status;
	view_fail(&error, MSG_SYSTEM, "stdout", strerror(errno));
	log_error("%s", error.message);
	return view_code_exit(error.code);
}
