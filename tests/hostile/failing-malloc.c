/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded: the FAIL_AT-th allocation of the process fails (with FAIL_ON set, every one from there
 * on), and the file FAIL_REPORT, made at the start, then holds a 1: a sealed process can still
 * write to memory. Not counted are those of json-c: it does not live through a lack of memory, and
 * the program under test must see to it that there is some.
 */
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
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
static uintptr_t json_start, json_end;

static int note_json(struct dl_phdr_info *info, size_t size, void *data)
{
	if (!strstr(info->dlpi_name, "json-c"))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];

		if (header->p_type != PT_LOAD || !(header->p_flags & PF_X))
			continue;
		json_start = info->dlpi_addr + header->p_vaddr;
		json_end = json_start + header->p_memsz;
	}
	return 1;
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
	dl_iterate_phdr(note_json, NULL);
	fail_on = getenv("FAIL_ON") != NULL;
	report = map_report(getenv("FAIL_REPORT"));
	fail_at = at ? atol(at) : 0;
}

/* Whether some caller is in json-c. Without a lock: two processes may share this memory. */
static bool is_json(void)
{
	void *frames[16];
	int n = backtrace(frames, 16);

	for (int i = 0; i < n; i++)
		if ((uintptr_t)frames[i] >= json_start && (uintptr_t)frames[i] < json_end)
			return true;
	return false;
}

static bool fails(void)
{
	long now;

	if (fail_at == 0 || is_json())
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
