/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded: the FAIL_AT-th allocation of the process fails (with FAIL_ON set, every one from there
 * on), and the file FAIL_REPORT, made at the start, then holds a 1: a sandboxed process can still
 * write to memory. Not counted are those of the functions in the file FAIL_SPARED, each with where
 * it begins in the program and its size, in hexadecimal: json-c's, which does not live through a
 * lack of memory; the program under test must see to it that there is some.
 */
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *memory, size_t size);

static long fail_at, count;
static bool fail_on;
static char *report;
enum { SPARED_MAX = 1024 };

static struct {
	uintptr_t start, size;
} spared[SPARED_MAX];
static int n_spared;

/* The program is the first of what is loaded. */
static int note_program(struct dl_phdr_info *info, size_t size, void *data)
{
	*(uintptr_t *)data = info->dlpi_addr;
	return 1;
}

static void read_spared(const char *path)
{
	uintptr_t program = 0;
	FILE *file = fopen(path, "r");

	if (!file)
		abort();
	dl_iterate_phdr(note_program, &program);
	while (n_spared < SPARED_MAX &&
	       fscanf(file, "%lx %lx", &spared[n_spared].start, &spared[n_spared].size) == 2)
		spared[n_spared++].start += program;
	fclose(file);
}

static char *map_report(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *byte;

	if (fd < 0 || ftruncate(fd, 1) < 0)
		abort();
	byte = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return byte;
}

__attribute__((constructor)) static void read_environment(void)
{
	const char *at = getenv("FAIL_AT");

	void *frame;

	/* It allocates when it is called first. */
	backtrace(&frame, 1);
	read_spared(getenv("FAIL_SPARED"));
	fail_on = getenv("FAIL_ON") != NULL;
	report = map_report(getenv("FAIL_REPORT"));
	fail_at = at ? atol(at) : 0;
}

/* Whether some caller is spared. Without a lock: two processes may share this memory. */
static bool is_spared(void)
{
	void *frames[16];
	int n = backtrace(frames, 16);

	for (int i = 0; i < n; i++)
		for (int k = 0; k < n_spared; k++)
			if ((uintptr_t)frames[i] - spared[k].start <= spared[k].size)
				return true;
	return false;
}

static bool fails(void)
{
	long now;

	if (fail_at == 0 || is_spared())
		return false;
	now = __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
	if (now < fail_at || (now > fail_at && !fail_on))
		return false;
	*report = 1;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *memory, size_t size)
{
	return fails() ? NULL : __libc_realloc(memory, size);
}
