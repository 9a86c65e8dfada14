/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "fuse/process/self-exe.h"
#include "fuse/serve/takeover.h"

int takeover_exec(int program, int socket)
{
	char argument[sizeof(TAKEOVER_ARGUMENT) + 16];
	char *argv[] = {(char[]){PROGRAM_NAME}, argument, NULL};

	snprintf(argument, sizeof(argument), TAKEOVER_ARGUMENT "%d", socket);
	fcntl(socket, F_SETFD, 0);
	execveat(program, "", argv, environ, AT_EMPTY_PATH);
	return -errno;
}
