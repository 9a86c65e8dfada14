/* SPDX-License-Identifier: Apache-2.0 */
/*
 * li-resolve [--userxattr] [--index=DIR] LAYER...
 *
 * Asks layerindex, and nothing else, about paths in a stack of layers. Requests come on stdin,
 * each ended by NUL: 'f' (follow a final symlink) or 'n' (do not), then the path's bytes. Each is
 * answered by one line of JSON: {"error":"ENOENT"}, or what is there. Names of any bytes are hex.
 * With --index what is known there is used, and what was learned is filed at the end.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "layerindex/cleanup.h"
#include "layerindex/layerindex.h"

static void print_hex(const char *key, const void *bytes, size_t n)
{
	printf(",\"%s\":\"", key);
	for (size_t i = 0; i < n; i++)
		printf("%02x", ((const unsigned char *)bytes)[i]);
	putchar('"');
}

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG: return "file";
	case S_IFDIR: return "dir";
	case S_IFLNK: return "symlink";
	case S_IFIFO: return "fifo";
	case S_IFSOCK: return "socket";
	case S_IFCHR: return "chr";
	case S_IFBLK: return "blk";
	}
	return "unknown";
}

static void print_content(const struct li_file *file)
{
	cleanup_close int fd = li_file_open(file);
	char bytes[4096];
	ssize_t n;

	if (fd < 0) {
		printf(",\"open_error\":\"%s\"", strerrorname_np(-fd));
		return;
	}
	n = pread(fd, bytes, sizeof(bytes), 0);
	print_hex("content", bytes, n < 0 ? 0 : (size_t)n);
}

static void print_link(const struct li_file *file)
{
	char body[LI_PATH_MAX + 1];
	ssize_t n = readlinkat(file->fd, "", body, sizeof(body));

	print_hex("link", body, n < 0 ? 0 : (size_t)n);
}

static void print_file(const struct li_stack *stack, const struct li_file *file)
{
	const struct stat *st = &file->st;
	const char *layer = li_stack_path(stack, file->layer);
	cleanup_free char *origin = NULL;

	printf("{\"type\":\"%s\",\"mode\":%u,\"uid\":%u,\"gid\":%u,\"size\":%lld",
	       type_name(st->st_mode), st->st_mode & 07777, st->st_uid, st->st_gid,
	       (long long)st->st_size);
	printf(",\"mtime_ns\":%lld,\"rdev\":[%u,%u],\"layer\":%zu",
	       st->st_mtim.tv_sec * 1000000000LL + st->st_mtim.tv_nsec, major(st->st_rdev),
	       minor(st->st_rdev), file->layer);
	if (asprintf(&origin, "%s%s%s", layer, *file->name ? "/" : "", file->name) >= 0)
		print_hex("origin", origin, strlen(origin));
	if (S_ISREG(st->st_mode))
		print_content(file);
	if (S_ISLNK(st->st_mode))
		print_link(file);
	puts("}");
}

static void answer(struct li_stack *stack, const char *request)
{
	cleanup_with(li_file_done) struct li_file file = LI_FILE_INIT;
	unsigned flags = *request == 'n' ? LI_RESOLVE_NOFOLLOW : 0;
	int r = li_resolve(stack, request + 1, flags, &file);

	if (r < 0)
		printf("{\"error\":\"%s\"}\n", strerrorname_np(-r));
	else
		print_file(stack, &file);
	fflush(stdout);
}

/* The words before the layers. Returns: how many there are; < 0: the index cannot be used. */
static int take_options(char **argv, bool *ret_userxattr, struct li_index **ret_index)
{
	int n = 1;

	for (; argv[n] && strncmp(argv[n], "--", 2) == 0; n++) {
		const char *directory = strncmp(argv[n], "--index=", 8) == 0 ? argv[n] + 8 : NULL;
		int r = directory ? li_index_open(directory, 1, ret_index) : 0;

		if (r == 0 && directory)
			r = li_index_make(*ret_index);
		if (r < 0) {
			fprintf(stderr, "li-resolve: %s: %s\n", directory, strerror(-r));
			return r;
		}
		*ret_userxattr |= strcmp(argv[n], "--userxattr") == 0;
	}
	return n;
}

static void answer_all(struct li_stack *stack)
{
	cleanup_free char *request = NULL;
	size_t capacity = 0;

	while (getdelim(&request, &capacity, '\0', stdin) > 1)
		answer(stack, request);
}

int main(int argc, char **argv)
{
	struct li_index *index = NULL;
	bool userxattr = false;
	int first = take_options(argv, &userxattr, &index);
	char **layers = argv + first;
	size_t n = argc - first;
	struct li_stack *stack;
	size_t bad;
	int r;

	if (first < 0)
		return 1;
	r = li_stack_open(layers, n, userxattr ? LI_STACK_USERXATTR : 0, index, &stack, &bad);
	if (r < 0) {
		fprintf(stderr, "li-resolve: layer %zu of %zu '%s': %s\n", bad, n,
			bad < n ? layers[bad] : "", strerror(-r));
		return 1;
	}
	answer_all(stack);
	r = li_stack_publish(stack);
	if (r < 0)
		fprintf(stderr, "li-resolve: index: %s\n", strerror(-r));
	li_stack_close(stack);
	li_index_close(index);
	return r < 0;
}
