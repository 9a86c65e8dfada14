/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel reads a command line out of the process's own memory, from where it was told of.
 * PR_SET_MM_MAP names another place in one call, and requires no privilege, as PR_SET_MM_ARG_START
 * does; but it sets all that the kernel knows of this memory, so the rest must be repeated.
 */
#include "fuse/live/proctitle.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Where the linker, whose names these are, has put the code, and the data up to the heap. */
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
extern char __executable_start[], _etext[], _edata[], _end[];

/*
 * struct prctl_mm_map as a 64-bit kernel has it. The kernel's own holds a pointer, *auxv*: a 32-bit
 * program's is shorter, and a 64-bit kernel does not know that one.
 */
struct mm_map {
	uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack, arg_start,
		arg_end, env_start, env_end, auxv;
	uint32_t auxv_size, exe_fd;
};

/* The same on a 32-bit kernel. Returns: 0 or -errno. */
static int set_native_map(const struct mm_map *map)
{
	struct prctl_mm_map native = {.exe_fd = map->exe_fd};

	if (sizeof(native) == sizeof(*map))
		return -EINVAL;
	memcpy(&native, map, offsetof(struct mm_map, auxv));
	return prctl(PR_SET_MM, PR_SET_MM_MAP, &native, sizeof(native), 0) < 0 ? -errno : 0;
}

/*
 * Has the kernel take the *n* bytes at *text* for the command line. What it had known exactly it
 * could only be asked by reading /proc; nothing depends on it, and of the environment, which was
 * the caller's, nothing is left to be shown. Returns: 0 or -errno.
 */
static int set_command_line(const char *text, size_t n)
{
	uint64_t start = (uintptr_t)text, after = start + n;
	uint64_t end = (uintptr_t)_end, heap = (uintptr_t)sbrk(0);
	struct mm_map map = {
		.start_code = (uintptr_t)__executable_start,
		.end_code = (uintptr_t)_etext,
		.start_data = (uintptr_t)_etext,
		.end_data = (uintptr_t)_edata,
		/* The heap of a static program that lies anywhere is put before it, far away. */
		.start_brk = end < heap ? end : heap,
		.brk = heap,
		.start_stack = getauxval(AT_RANDOM),
		.arg_start = start,
		.arg_end = after,
		.env_start = after,
		.env_end = after,
		.exe_fd = (uint32_t)-1,
	};

	if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0) == 0)
		return 0;
	return errno == EINVAL ? set_native_map(&map) : -errno;
}

/* Not zero: it lies among data then, in a page that every view has of its own anyway. */
static struct {
	char *memory; /* the command line, and a copy behind it */
	size_t size;  /* of each */
} shown = {.memory = MAP_FAILED};

/* Shows a text, for which, and for a later one, there is room of *length* bytes. */
static void show(const char *ready, size_t length)
{
	size_t size = sizeof(PROCTITLE_PREFIX) + length, room = 2 * size;
	/* Of its own: any user may read a command line, and nothing else must lie there. */
	char *memory = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	/* As it was executed through a descriptor, it would have that descriptor's name. */
	prctl(PR_SET_NAME, PROGRAM_NAME);
	if (memory == MAP_FAILED)
		return;
	stpcpy(stpcpy(memory, PROCTITLE_PREFIX), ready);
	/* What proctitle_restore() needs, in most cases in the same page. */
	memcpy(memory + size, memory, size);
	if (set_command_line(memory, size) < 0) {
		munmap(memory, room);
		return;
	}
	if (shown.memory != MAP_FAILED)
		munmap(shown.memory, 2 * shown.size);
	shown.memory = memory;
	shown.size = size;
}

void proctitle_set(const char *ready)
{
	show(ready, strlen(ready));
}

void proctitle_reserve(size_t length)
{
	show("", length);
}

void proctitle_fill(const char *ready)
{
	if (shown.memory == MAP_FAILED)
		return;
	proctitle_replace(ready);
	memcpy(shown.memory + shown.size, shown.memory, shown.size);
}

void proctitle_replace(const char *text)
{
	size_t room = shown.size - sizeof(PROCTITLE_PREFIX);
	size_t n = strlen(text);
	char *at = shown.memory + sizeof(PROCTITLE_PREFIX) - 1;

	if (shown.memory == MAP_FAILED)
		return;
	memset(at, 0, room + 1);
	snprintf(at, room + 1, "%s", text);
	/* Where the last byte is not 0 the command line ends at the first 0 (fs/proc/base.c). */
	if (n + 1 < room)
		at[room] = ' ';
}

void proctitle_restore(void)
{
	if (shown.memory != MAP_FAILED)
		memcpy(shown.memory, shown.memory + shown.size, shown.size);
}

const char *proctitle_text(const char *text, size_t *n)
{
	static const size_t skipped = sizeof(PROCTITLE_PREFIX) - 1;

	/* The one string that it is ends in a NUL. */
	*n -= *n > 0 && text[*n - 1] == '\0';
	if (*n < skipped || strncmp(text, PROCTITLE_PREFIX, skipped) != 0)
		return NULL;
	*n -= skipped;
	return text + skipped;
}
