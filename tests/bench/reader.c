/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader MODE hot|cold ROUNDS WARMUP READERS [FILE BACKING]...
 * reader resident FILE...
 *
 * Reads files in turn, each once a round, in an order of the round's own: who comes after another
 * that has the same pages finds them in the processor's caches. Times the reading alone. FILE is
 * what is read, BACKING the file on disk behind it. "cold" throws both out of the page cache first;
 * "hot" reads once before in the same way.
 * The modes:
 *   read    read() in blocks of 1 MiB; what is hot and small over and over, until 16 MiB were read
 *   whole   one read() of everything into fresh memory, as QEMU reads a kernel
 *   pread   pread() in blocks of 4 KiB, from the front
 *   mmap    one byte of every page of a private mapping, as QEMU maps an initrd
 *   direct  pread() of 4 KiB with O_DIRECT at random places
 *   open    open, read 4 KiB, close
 * READERS processes do it at once, each with a descriptor of its own; the time is from the first
 * one's begin to the last one's end.
 *
 * Prints a line for each file of each round: its number, the round, ns, the bytes read by all, the
 * bytes of BACKING that were in the page cache before, and 0 or what went wrong (errno).
 * "resident" prints for each file how many of its bytes are in the page cache.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "order.h"

enum {
	READERS_MAX = 64,
	FILES_MAX = 64,
	PAGE = 4096,
	BLOCK = 1 << 20,
	HOT_BYTES = 16 << 20,
	DIRECT_READS = 512,
};

/* What one reader tells: shared with the process that started it. */
struct outcome {
	int64_t begin_ns;
	int64_t end_ns;
	int64_t bytes;
	int error;
};

struct job {
	const char *path;
	size_t size;
	int fd;
	char *memory;
	int64_t least; /* bytes to be read */
	unsigned seed;
};

struct mode {
	const char *name;
	int flags;
	size_t memory; /* to have before the time begins; 0: none */
	int64_t (*read)(const struct job *job);
};

static void fail(const char *what)
{
	fprintf(stderr, "reader: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* --- the modes; each returns the bytes that it read, or -errno --- */

static int64_t read_blocks(const struct job *job)
{
	int64_t total = 0;
	ssize_t n;

	do {
		while ((n = read(job->fd, job->memory, BLOCK)) > 0)
			total += n;
		if (n < 0 || lseek(job->fd, 0, SEEK_SET) < 0)
			return -errno;
	} while (total > 0 && total < job->least);
	return total;
}

static int64_t read_whole(const struct job *job)
{
	char *memory = malloc(job->size);
	size_t total = 0;
	ssize_t n = 0;

	if (!memory)
		return -ENOMEM;
	while (total < job->size && (n = read(job->fd, memory + total, job->size - total)) > 0)
		total += (size_t)n;
	return n < 0 ? -errno : (int64_t)total;
}

static int64_t read_pages(const struct job *job)
{
	int64_t total = 0;
	ssize_t n;

	while ((n = pread(job->fd, job->memory, PAGE, total)) > 0)
		total += n;
	return n < 0 ? -errno : total;
}

static int64_t read_mapping(const struct job *job)
{
	const volatile char *map = mmap(NULL, job->size, PROT_READ, MAP_PRIVATE, job->fd, 0);

	if (map == MAP_FAILED)
		return -errno;
	for (size_t at = 0; at < job->size; at += PAGE)
		(void)map[at];
	return (int64_t)job->size;
}

static int64_t read_direct(const struct job *job)
{
	uint32_t pages = job->size / PAGE;
	unsigned state = job->seed + 1;

	for (int i = 0; i < DIRECT_READS; i++) {
		off_t at = (off_t)((unsigned)rand_r(&state) % pages) * PAGE;

		if (pread(job->fd, job->memory, PAGE, at) != PAGE)
			return errno ? -errno : -EIO;
	}
	return (int64_t)DIRECT_READS * PAGE;
}

static int64_t read_opened(const struct job *job)
{
	int fd = open(job->path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : pread(fd, job->memory, PAGE, 0);

	if (n < 0)
		return -errno;
	close(fd);
	return n;
}

static const struct mode modes[] = {
	{"read", 0, BLOCK, read_blocks},	 {"whole", 0, 0, read_whole},
	{"pread", 0, PAGE, read_pages},		 {"mmap", 0, 0, read_mapping},
	{"direct", O_DIRECT, PAGE, read_direct}, {"open", O_PATH, PAGE, read_opened},
};

static const struct mode *find_mode(const char *name)
{
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		if (strcmp(modes[i].name, name) == 0)
			return &modes[i];
	errno = EINVAL;
	fail(name);
	return NULL;
}

/* --- the page cache --- */

static int64_t resident(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char *pages;
	int64_t found = 0;
	struct stat st;
	size_t n;
	void *map;

	if (fd < 0 || fstat(fd, &st) < 0)
		fail(path);
	n = ((size_t)st.st_size + PAGE - 1) / PAGE;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	pages = malloc(n);
	if (map == MAP_FAILED || !pages || mincore(map, (size_t)st.st_size, pages) < 0)
		fail(path);
	for (size_t i = 0; i < n; i++)
		found += pages[i] & 1;
	munmap(map, (size_t)st.st_size);
	free(pages);
	close(fd);
	return found * PAGE;
}

static void drop_cache(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail(path);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
}

/* --- a round --- */

/* Gets ready, waits until all are (the pipe closes), reads, and tells. */
static void reader(const struct mode *mode, struct job job, int gate, struct outcome *outcome)
{
	struct stat st;
	char end;

	job.fd = open(job.path, O_RDONLY | O_CLOEXEC | mode->flags);
	if (job.fd < 0 || fstat(job.fd, &st) < 0) {
		outcome->error = errno;
		return;
	}
	job.size = (size_t)st.st_size;
	if (mode->memory) {
		if (posix_memalign((void **)&job.memory, PAGE, mode->memory) != 0)
			fail("memory");
		memset(job.memory, 0, mode->memory);
	}
	while (read(gate, &end, 1) < 0)
		continue;
	errno = 0;
	outcome->begin_ns = now_ns();
	outcome->bytes = mode->read(&job);
	outcome->end_ns = now_ns();
	if (outcome->bytes < 0)
		outcome->error = (int)-outcome->bytes;
}

/* Runs *readers* of one file at once, and adds up what they tell. */
static struct outcome run(const struct mode *mode, struct job job, int readers,
			  struct outcome *told)
{
	struct outcome sum = {.begin_ns = INT64_MAX};
	int gate[2];

	memset(told, 0, sizeof(*told) * READERS_MAX);
	if (pipe2(gate, O_CLOEXEC) < 0)
		fail("pipe");
	for (int i = 0; i < readers; i++) {
		pid_t pid = fork();

		if (pid < 0)
			fail("fork");
		if (pid == 0) {
			close(gate[1]);
			reader(mode, job, gate[0], &told[i]);
			_exit(0);
		}
	}
	close(gate[0]);
	close(gate[1]);
	while (wait(NULL) > 0)
		continue;
	for (int i = 0; i < readers; i++) {
		if (told[i].begin_ns < sum.begin_ns)
			sum.begin_ns = told[i].begin_ns;
		if (told[i].end_ns > sum.end_ns)
			sum.end_ns = told[i].end_ns;
		sum.bytes += told[i].bytes;
		sum.error = sum.error ? sum.error : told[i].error;
	}
	return sum;
}

static int print_resident(char **paths)
{
	for (; *paths; paths++)
		printf("%lld\n", (long long)resident(*paths));
	return 0;
}

/* One line of the result. */
static void sample(const struct mode *mode, bool cold, int readers, int number, long round,
		   char **paths, struct outcome *told)
{
	struct job job = {
		.path = paths[0],
		.least = cold ? 0 : HOT_BYTES,
		.seed = (unsigned)(round < 0 ? 0 : round),
	};
	struct outcome sum;
	int64_t before;

	if (cold) {
		drop_cache(paths[0]);
		drop_cache(paths[1]);
	} else {
		run(mode, job, readers, told);
	}
	before = resident(paths[1]);
	sum = run(mode, job, readers, told);
	if (round >= 0)
		printf("%d %ld %lld %lld %lld %d\n", number, round,
		       (long long)(sum.end_ns - sum.begin_ns), (long long)sum.bytes,
		       (long long)before, sum.error);
}

int main(int argc, char **argv)
{
	const struct mode *mode;
	struct outcome *told;
	size_t order[FILES_MAX];
	size_t n = 0;
	long rounds, warmup;
	int readers;
	bool cold;

	if (argc > 2 && strcmp(argv[1], "resident") == 0)
		return print_resident(argv + 2);
	if (argc < 8 || argc % 2 != 0) {
		fputs("reader: wrong call; see the head of reader.c\n", stderr);
		return 2;
	}
	mode = find_mode(argv[1]);
	cold = strcmp(argv[2], "cold") == 0;
	rounds = atol(argv[3]);
	warmup = atol(argv[4]);
	readers = atoi(argv[5]);
	told = mmap(NULL, sizeof(*told) * READERS_MAX, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (told == MAP_FAILED || readers < 1 || readers > READERS_MAX || argc > 6 + 2 * FILES_MAX)
		fail("readers or files");
	for (; 6 + 2 * n < (size_t)argc; n++)
		order[n] = n;
	for (long round = -warmup; round < rounds; round++) {
		shuffle(order, n);
		for (size_t i = 0; i < n; i++)
			sample(mode, cold, readers, (int)order[i], round, argv + 6 + 2 * order[i],
			       told);
	}
	return 0;
}
