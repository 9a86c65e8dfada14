/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ownership by attribute: what a scope owns is released when the scope ends, unless it was
 * handed on with TAKE_FD() or TAKE_PTR().
 */
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Closes a descriptor and keeps errno; a negative one is left alone. Returns: -EBADF. */
static inline int close_keep_errno(int fd)
{
	if (fd >= 0) {
		int saved = errno;

		close(fd);
		errno = saved;
	}
	return -EBADF;
}

static inline void cleanup_close_impl(int *fd)
{
	*fd = close_keep_errno(*fd);
}

static inline void cleanup_free_impl(void *p)
{
	free(*(void **)p);
}

#define cleanup_close __attribute__((cleanup(cleanup_close_impl)))
#define cleanup_free  __attribute__((cleanup(cleanup_free_impl)))

/* Declares cleanup_NAME for variables of type *T* that FUNCTION releases by their address. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a type takes no parentheses. */
#define DEFINE_CLEANUP(T, FUNCTION)                        \
	static inline void cleanup_##FUNCTION##_impl(T *p) \
	{                                                  \
		FUNCTION(p);                               \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

#define cleanup_with(FUNCTION) __attribute__((cleanup(cleanup_##FUNCTION##_impl)))

#define TAKE(VARIABLE, NOTHING)                           \
	({                                                \
		__typeof__(VARIABLE) taken_ = (VARIABLE); \
		(VARIABLE) = (NOTHING);                   \
		taken_;                                   \
	})

/* The value of an owned variable, which owns nothing afterwards. */
#define TAKE_FD(FD)   TAKE(FD, -EBADF)
#define TAKE_PTR(PTR) TAKE(PTR, NULL)
