/* SPDX-License-Identifier: Apache-2.0 */
/*
 * li-resolve [--userxattr] LAYER...
 *
 * Asks layerindex, and nothing else, about paths in a stack of layers. Requests come on stdin,
 * each ended by NUL: 'f' (follow a final symlink) or 'n' (do not), then the path's bytes. Each is
 * answered by one line of JSON: {"error":"ENOENT"}, or what is there. Names of any bytes are hex.
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

int main(int argc, char **argv)
{
	cleanup_free char *request = NULL;
	bool userxattr = argc > 1 && strcmp(argv[1], "--userxattr") == 0;
	char **layers = argv + 1 + userxattr;
	size_t n = argc - 1 - userxattr;
	struct li_stack *stack;
	size_t capacity = 0;
	size_t bad;
	int r;

	r = li_stack_open(layers, n, userxattr ? LI_STACK_USERXATTR : 0, NULL, &stack, &bad);
	if (r < 0) {
		fprintf(stderr, "li-resolve: layer %zu of %zu '%s': %s\n", bad, n,
			bad < n ? layers[bad] : "", strerror(-r));
		return 1;
	}
	while (getdelim(&request, &capacity, '\0', stdin) > 1)
		answer(stack, request);
	li_stack_close(stack);
	return 0;
}
