/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel reads a command line out of the process's own memory, from where it was told of.
 * PR_SET_MM_MAP names another place in one call, and requires no privilege, as PR_SET_MM_ARG_START
 * does; but it sets all that the kernel knows of this memory, so the rest must be repeated.
 */
#include "fuse/live/proctitle.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fuse/base/json.h"
#include "fuse/mount/mountinfo.h"

enum { FACTS_SIZE = 160 }; /* more than the numbers of a struct proctitle take */

/* The last of them, at a place of its own: it is written over. */
#define SANDBOXED_FORMAT ",\"sandboxed\":\"%02x\"}}"

/* Where the linker, whose names these are, has put the code, and the data up to the heap. */
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
extern char __executable_start[], _etext[], _edata[], _end[];

/*
 * Has the kernel take the *n* bytes at *text* for the command line. What it had known exactly it
 * could only be asked by reading /proc; nothing depends on it, and of the environment, which was
 * the caller's, nothing is left to be shown. Returns: 0 or -errno.
 */
static int set_command_line(const char *text, size_t n)
{
	uint64_t start = (uintptr_t)text, after = start + n;
	uint64_t end = (uintptr_t)_end, heap = (uintptr_t)sbrk(0);
	struct prctl_mm_map map = {
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

	return prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0) < 0 ? -errno : 0;
}

/* Not zero: it lies among data then, in a page that every view has of its own anyway. */
static struct {
	char *memory;
	size_t size;
	char *sandboxed; /* where SANDBOXED_FORMAT begins */
} shown = {.memory = MAP_FAILED};

void proctitle_set(const char *ready, const struct proctitle *title)
{
	/* Without the brace that closes the object. */
	int length = (int)strlen(ready) - 1;
	size_t size = sizeof(PROCTITLE_PREFIX) + (size_t)length + FACTS_SIZE;
	/* Pages of its own: any process may read them, so no other data may be in them. */
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int n, end;

	/* As it was executed through a descriptor, it would have that descriptor's name. */
	prctl(PR_SET_NAME, PROGRAM_NAME);
	if (memory == MAP_FAILED)
		return;
	n = snprintf(memory, size,
		     PROCTITLE_PREFIX "%.*s,\"view\":{\"device\":\"%u:%u\",\"layers\":%" PRIu64,
		     length, ready, major(title->device), minor(title->device), title->layers);
	end = n < 0 ? n
		    : n + snprintf(memory + n, size - (size_t)n, SANDBOXED_FORMAT,
				   title->sandboxed);
	if (n < 0 || set_command_line(memory, (size_t)end + 1) < 0) {
		munmap(memory, size);
		return;
	}
	if (shown.memory != MAP_FAILED)
		munmap(shown.memory, shown.size);
	shown.memory = memory;
	shown.size = size;
	shown.sandboxed = memory + n;
}

void proctitle_sandboxed(unsigned measures)
{
	char text[sizeof(SANDBOXED_FORMAT)];
	int n = snprintf(text, sizeof(text), SANDBOXED_FORMAT, measures & 0xff);

	if (shown.memory != MAP_FAILED && n > 0)
		memcpy(shown.sandboxed, text, (size_t)n);
}

static int parse_facts(struct json_object *facts, struct proctitle *ret)
{
	const char *device = json_string(facts, "device");
	const char *sandboxed = json_string(facts, "sandboxed");
	struct json_object *layers;

	if (!device || device_parse(device, &ret->device) < 0 || !sandboxed ||
	    strspn(sandboxed, "0123456789abcdef") != 2 || sandboxed[2] ||
	    !json_object_object_get_ex(facts, "layers", &layers) ||
	    !json_object_is_type(layers, json_type_int))
		return -EINVAL;
	ret->layers = json_object_get_uint64(layers);
	ret->sandboxed = (unsigned)strtoul(sandboxed, NULL, 16);
	return 0;
}

int proctitle_parse(const char *text, size_t n, struct proctitle *ret,
		    struct json_object **ret_ready)
{
	static const size_t skipped = sizeof(PROCTITLE_PREFIX) - 1;
	cleanup_with(json_done) struct json_object *object = NULL;
	struct json_fault fault;
	int r;

	/* The one string that it is ends in a NUL. */
	n -= n > 0 && text[n - 1] == '\0';
	if (n < skipped || strncmp(text, PROCTITLE_PREFIX, skipped) != 0)
		return -EINVAL;
	r = json_parse(text + skipped, n - skipped, &object, &fault);
	if (r < 0)
		return r;
	if (!json_object_is_type(object, json_type_object))
		return -EINVAL;
	r = parse_facts(json_object_object_get(object, "view"), ret);
	if (r < 0)
		return r;
	json_object_object_del(object, "view");
	*ret_ready = TAKE_PTR(object);
	return 0;
}
