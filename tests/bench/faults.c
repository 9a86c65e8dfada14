/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faults FILE COMMAND [ARGUMENT...]: runs a command to its end, with its status, and writes into
 * FILE how many page faults it and its children took until then; nothing, where that cannot be
 * counted here.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* Counts from the command's exec on, its children's too. */
static int count_faults(pid_t pid)
{
	struct perf_event_attr event = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(event),
		.config = PERF_COUNT_SW_PAGE_FAULTS,
		.disabled = 1,
		.enable_on_exec = 1,
		.inherit = 1,
	};

	return (int)syscall(SYS_perf_event_open, &event, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

int main(int argc, char **argv)
{
	int go[2], status, counter;
	uint64_t faults;
	FILE *file;
	pid_t pid;
	char word;

	if (argc < 3) {
		fputs("faults: wrong call; see the head of faults.c\n", stderr);
		return 2;
	}
	file = fopen(argv[1], "we");
	if (!file)
		fail(argv[1]);
	if (pipe(go) < 0)
		fail("pipe");
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		/* Not before it is counted. */
		close(go[1]);
		if (read(go[0], &word, 1) < 0)
			fail("pipe");
		close(go[0]);
		execv(argv[2], argv + 2);
		fail(argv[2]);
	}
	counter = count_faults(pid);
	close(go[0]);
	close(go[1]);
	if (waitpid(pid, &status, 0) != pid)
		fail("waitpid");
	if (counter >= 0 && read(counter, &faults, sizeof(faults)) == sizeof(faults))
		fprintf(file, "%llu\n", (unsigned long long)faults);
	if (fclose(file) != 0)
		fail(argv[1]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
