/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn ROUNDS WARMUP PLAN: starts commands in turn, and times them.
 *
 * A round runs every command of the plan once, in an order of its own: a machine that grows slower
 * meanwhile is slower for all of them, and none always follows the same other. What a command
 * leaves (mounts, files, daemons) is taken away after it, outside the time; the daemons are waited
 * for, because one that still ends would be measured with the next command.
 *
 * The plan has one word and its value a line. "command NAME" begins a command; then
 *   cwd DIR      where it runs
 *   arg ARG      its words, one line each
 *   stdin FILE   its standard input
 *   open FILE    opened, and its first 4 KiB read, when the command has ended
 *   drop FILE    thrown out of the page cache before
 *   umount DIR   unmounted after
 *   unlink FILE  removed after
 *
 * Prints a line for each command of each round after the warm-up: the command's number in the
 * plan, the round, ns from posix_spawn to its end, ns to the end of the read (0 without "open"),
 * the bytes that it and its daemons wrote to disks, and its exit status (-1: no read).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "order.h"

enum {
	COMMANDS_MAX = 256,
	WORDS_MAX = 64,
	FIRST_READ = 4096,
	PATIENCE = 60, /* seconds for a command, and for its daemons to end */
	READ_FAILED = -1,
};

/* A list that is full is an error of the plan; each ends with NULL. */
struct words {
	char *word[WORDS_MAX + 1];
	size_t n;
};

struct command {
	const char *name;
	const char *cwd;
	const char *input;
	const char *first;
	struct words argv, drop, umount, unlink;
};

struct sample {
	int64_t ready_ns;
	int64_t read_ns;
	int64_t written;
	int status;
};

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "spawn: %s: %s\n", what, why);
	exit(1);
}

/* --- the plan --- */

static void add(struct words *words, char *word)
{
	if (words->n == WORDS_MAX)
		fail(word, "too many lines of this kind for one command");
	words->word[words->n++] = word;
}

static void set(struct command *command, const char *key, char *value)
{
	if (strcmp(key, "cwd") == 0)
		command->cwd = value;
	else if (strcmp(key, "arg") == 0)
		add(&command->argv, value);
	else if (strcmp(key, "stdin") == 0)
		command->input = value;
	else if (strcmp(key, "open") == 0)
		command->first = value;
	else if (strcmp(key, "drop") == 0)
		add(&command->drop, value);
	else if (strcmp(key, "umount") == 0)
		add(&command->umount, value);
	else if (strcmp(key, "unlink") == 0)
		add(&command->unlink, value);
	else
		fail(key, "not a word of a plan");
}

/* Fills *commands* from the file. Returns: how many there are. */
static size_t read_plan(const char *path, struct command *commands)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	size_t n = 0;

	if (!file)
		fail(path, strerror(errno));
	while (getline(&line, &size, file) > 0) {
		char *value = strchr(line, ' ');

		line[strcspn(line, "\n")] = '\0';
		if (!value)
			fail(line, "no value");
		*value++ = '\0';
		value = strdup(value);
		if (!value)
			fail(path, "out of memory");
		if (strcmp(line, "command") == 0) {
			if (n == COMMANDS_MAX)
				fail(path, "too many commands");
			commands[n++] = (struct command){.name = value, .cwd = "/"};
		} else if (n == 0) {
			fail(line, "before the first command");
		} else {
			set(&commands[n - 1], line, value);
		}
	}
	free(line);
	fclose(file);
	return n;
}

/* --- one run of one command --- */

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void drop_cache(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
		fail(path, "cannot drop it from the page cache");
	close(fd);
}

static pid_t start(const struct command *command)
{
	const char *input = command->input ? command->input : "/dev/null";
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addchdir_np(&actions, command->cwd);
	r = posix_spawn(&pid, command->argv.word[0], &actions, NULL, command->argv.word, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		fail(command->name, strerror(r));
	return pid;
}

/* Waits for a child (-1: any), and not for ever. Returns: its pid, or -1 when there is none. */
static pid_t wait_for(const char *name, pid_t pid, struct sample *sample, int *status)
{
	struct itimerval patience = {.it_value.tv_sec = PATIENCE};
	struct rusage usage;
	pid_t r;

	setitimer(ITIMER_REAL, &patience, NULL);
	r = wait4(pid, status, 0, &usage);
	if (r < 0 && errno == EINTR)
		fail(name, "a process of it does not end");
	patience.it_value.tv_sec = 0;
	setitimer(ITIMER_REAL, &patience, NULL);
	if (r > 0)
		sample->written += usage.ru_oublock * INT64_C(512);
	return r;
}

static bool read_first(const char *path)
{
	char bytes[FIRST_READ];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && pread(fd, bytes, sizeof(bytes), 0) > 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

static void take_away(const struct command *command, struct sample *sample)
{
	int status;

	for (size_t i = 0; i < command->umount.n; i++)
		if (umount2(command->umount.word[i], MNT_DETACH) < 0 && sample->status == 0)
			fail(command->umount.word[i], strerror(errno));
	for (size_t i = 0; i < command->unlink.n; i++)
		if (unlink(command->unlink.word[i]) < 0 && sample->status == 0)
			fail(command->unlink.word[i], strerror(errno));
	while (wait_for(command->name, -1, sample, &status) > 0)
		continue;
}

static struct sample run(const struct command *command)
{
	struct sample sample = {};
	int64_t begin;
	int status;
	pid_t pid;

	for (size_t i = 0; i < command->drop.n; i++)
		drop_cache(command->drop.word[i]);
	begin = now_ns();
	pid = start(command);
	if (wait_for(command->name, pid, &sample, &status) != pid)
		fail(command->name, "lost");
	sample.ready_ns = now_ns() - begin;
	sample.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	if (sample.status == 0 && command->first) {
		if (!read_first(command->first))
			sample.status = READ_FAILED;
		sample.read_ns = now_ns() - begin;
	}
	take_away(command, &sample);
	return sample;
}

/* --- the rounds --- */

static void interrupt_wait(int number)
{
	(void)number;
}

int main(int argc, char **argv)
{
	static struct command commands[COMMANDS_MAX];
	struct sigaction alarm = {.sa_handler = interrupt_wait};
	size_t order[COMMANDS_MAX];
	long rounds, warmup;
	size_t n;

	if (argc != 4)
		fail("usage", "spawn ROUNDS WARMUP PLAN");
	rounds = atol(argv[1]);
	warmup = atol(argv[2]);
	n = read_plan(argv[3], commands);
	/* Without SA_RESTART: a wait that takes too long is to be interrupted. */
	sigaction(SIGALRM, &alarm, NULL);
	/* Daemons become children of this process, which can then wait for their end. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (size_t i = 0; i < n; i++)
		order[i] = i;
	for (long round = -warmup; round < rounds; round++) {
		shuffle(order, n);
		for (size_t i = 0; i < n; i++) {
			struct sample sample = run(&commands[order[i]]);

			if (round >= 0)
				printf("%zu %ld %lld %lld %lld %d\n", order[i], round,
				       (long long)sample.ready_ns, (long long)sample.read_ns,
				       (long long)sample.written, sample.status);
		}
	}
	return 0;
}
