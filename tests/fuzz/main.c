/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-TARGET FILE|DIRECTORY...
 *
 * Runs files, and the files in directories, through a fuzzing target once: this makes a test of
 * any compiler's out of a corpus. What is wrong aborts.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fuse/base/io.h"
#include "fuse/base/json.h"
#include "tests/fuzz/check.h"

enum { INPUT_SIZE_MAX = 1 << 20 };

/* Returns: 1, the number of inputs run, or < 0. */
static int run_file(const char *path)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	cleanup_free char *text = NULL;
	cleanup_free uint8_t *input = NULL;
	size_t n = 0;
	int r = fd < 0 ? -errno : read_all(fd, INPUT_SIZE_MAX, &text, &n);

	if (r < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(-r));
		return r;
	}
	/* Exactly as large as the input: a sanitizer sees a read behind it. */
	input = malloc(n > 0 ? n : 1);
	require(text && input, "there is memory for the input");
	memcpy(input, text, n);
	fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(input, n);
	return 1;
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* Returns: the number of inputs run, or < 0. */
static int run_directory(const char *directory)
{
	struct dirent **entries;
	int n = scandir(directory, &entries, is_visible, alphasort);
	int r = n < 0 ? -errno : 0;

	for (int i = 0; i < n; i++) {
		cleanup_free char *path = NULL;

		if (r >= 0 && asprintf(&path, "%s/%s", directory, entries[i]->d_name) >= 0)
			r = run_file(path) < 0 ? -EIO : r + 1;
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return r;
}

int main(int argc, char **argv)
{
	int runs = 0;

	for (int i = 1; i < argc; i++) {
		struct stat st;
		int r;

		if (stat(argv[i], &st) < 0) {
			perror(argv[i]);
			return 1;
		}
		r = S_ISDIR(st.st_mode) ? run_directory(argv[i]) : run_file(argv[i]);
		if (r < 0)
			return 1;
		runs += r;
	}
	fprintf(stderr, "%d inputs\n", runs);
	return runs == 0;
}
