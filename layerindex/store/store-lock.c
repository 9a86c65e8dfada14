/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks are byte ranges of one file, of open file descriptions (F_OFD_SETLK): the kernel releases
 * them when a process dies. Byte 0 is that of all writers; each image and each facts file has one
 * of the others, by its digest. Two that have the same wait for each other, which is harmless.
 *
 * Where the store is removed meanwhile a second writer gets the lock of another file. Both publish
 * whole files, so that this costs a second copy and nothing else.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "layerindex/store/store-dir.h"

enum {
	WAIT_FIRST_NS = 500000,	  /* between two tries, at first */
	WAIT_MOST_NS = 20000000,  /* and at last */
	WAIT_ALL_NS = 2000000000, /* for the lock of all writers, which is held for moments */
};

static int open_lock(const struct li_store *store)
{
	int fd = openat(store->fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

static struct timespec later(const struct timespec *time, long ns)
{
	struct timespec sum = {time->tv_sec, time->tv_nsec + ns};

	sum.tv_sec += sum.tv_nsec / 1000000000;
	sum.tv_nsec %= 1000000000;
	return sum;
}

static bool is_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

static int lock_for_ever(int fd, const struct flock *range)
{
	while (fcntl(fd, F_OFD_SETLKW, range) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/*
 * Takes the first of *n* ranges that is free. It tries again and again: a library takes no timer
 * signal, which alone ends a wait in the kernel.
 */
static int lock_any_until(int fd, const struct flock *ranges, size_t n,
			  const struct timespec *deadline)
{
	for (long wait = WAIT_FIRST_NS;; wait = wait * 2 < WAIT_MOST_NS ? wait * 2 : WAIT_MOST_NS) {
		struct timespec now, next;

		for (size_t i = 0; i < n; i++) {
			struct flock range = ranges[i];

			if (fcntl(fd, F_OFD_SETLK, &range) == 0)
				return 0;
			if (errno != EAGAIN && errno != EACCES)
				return -errno;
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (!is_before(&now, deadline))
			return -ETIMEDOUT;
		next = later(&now, wait);
		if (is_before(deadline, &next))
			next = *deadline;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
}

static int lock_until(int fd, const struct flock *range, const struct timespec *deadline)
{
	return lock_any_until(fd, range, 1, deadline);
}

/* What a byte is the lock of; the numbers are those of urunc-viewfs-store(5). */
enum lock_kind {
	LOCK_IMAGE = 0, /* and the key's kind */
	LOCK_FACTS = 2, /* and the key's kind */
	LOCK_SLOT = 4,
	LOCK_LAYER = 5,
};

static struct flock range_of(unsigned kind, const struct li_digest *digest)
{
	uint64_t word;

	memcpy(&word, digest, sizeof(word));
	return (struct flock){
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = (off_t)(le64toh(word) >> 4 | (uint64_t)kind << 60) + 1,
		.l_len = 1,
	};
}

static int lock_range(const struct li_store *store, const struct flock *range,
		      const struct timespec *deadline)
{
	cleanup_close int fd = open_lock(store);
	int r;

	if (fd < 0)
		return fd;
	r = deadline ? lock_until(fd, range, deadline) : lock_for_ever(fd, range);
	return r < 0 ? r : TAKE_FD(fd);
}

int li_store_lock(const struct li_store *store, const struct li_store_key *key,
		  const struct timespec *deadline)
{
	const struct flock range = range_of(LOCK_IMAGE + key->by, &key->id);

	return lock_range(store, &range, deadline);
}

int li_store_layer_lock(const struct li_store *store, const struct li_digest *diff_id,
			const struct timespec *deadline)
{
	const struct flock range = range_of(LOCK_LAYER, diff_id);

	return lock_range(store, &range, deadline);
}

int li_store_lock_slot(const struct li_store *store, const struct timespec *deadline)
{
	struct flock ranges[LI_STORE_SLOTS];
	cleanup_close int fd = open_lock(store);
	int r;

	if (fd < 0)
		return fd;
	for (int i = 0; i < LI_STORE_SLOTS; i++)
		ranges[i] = range_of(LOCK_SLOT, &(struct li_digest){{[7] = (uint8_t)i}});
	r = lock_any_until(fd, ranges, LI_STORE_SLOTS, deadline);
	return r < 0 ? r : TAKE_FD(fd);
}

/* Takes a lock that is held for moments. */
static int lock_soon(int fd, const struct flock *range)
{
	struct timespec now, deadline;
	int r;

	clock_gettime(CLOCK_MONOTONIC, &now);
	deadline = later(&now, WAIT_ALL_NS);
	r = lock_until(fd, range, &deadline);
	return r == -ETIMEDOUT ? -EAGAIN : r;
}

int store_lock_all(const struct li_store *store, bool exclusive)
{
	const struct flock range = {
		.l_type = exclusive ? F_WRLCK : F_RDLCK,
		.l_whence = SEEK_SET,
		.l_len = 1,
	};
	cleanup_close int fd = open_lock(store);
	int r = fd < 0 ? fd : lock_soon(fd, &range);

	return r < 0 ? r : TAKE_FD(fd);
}

int store_lock_facts(int lock, const struct li_store_key *key)
{
	const struct flock range = range_of(LOCK_FACTS + key->by, &key->id);

	return lock_soon(lock, &range);
}

bool store_is_in_use(int fd)
{
	/* Another process that opens it breaks the lease: that must not be SIGIO, which kills. */
	if (fcntl(fd, F_SETSIG, SIGURG) < 0 || fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
		/* Where a filesystem has no leases it is not known. Removing what is in use
		 * costs a second copy and nothing else. */
		return errno == EAGAIN;
	fcntl(fd, F_SETLEASE, F_UNLCK);
	return false;
}
